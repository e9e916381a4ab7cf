// The main() of all tests: a crash tells where it happened. Under sanitizers, they do.
#include <gmock/gmock.h>

#include "absl/debugging/failure_signal_handler.h"
#include "absl/debugging/symbolize.h"
#include "tests/support/sanitized.h"

int main(int argc, char** argv) {
  if (!sluice::kSanitized) {
    absl::InitializeSymbolizer(argv[0]);
    absl::InstallFailureSignalHandler({});
  }
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
