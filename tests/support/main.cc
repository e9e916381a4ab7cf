// The main() of all tests: a crash tells where it happened. Under sanitizers, they do.
#include <gmock/gmock.h>

#include "absl/debugging/failure_signal_handler.h"
#include "absl/debugging/symbolize.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLUICE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLUICE_SANITIZED 1
#endif
#endif

int main(int argc, char** argv) {
#ifndef SLUICE_SANITIZED
  absl::InitializeSymbolizer(argv[0]);
  absl::InstallFailureSignalHandler({});
#endif
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
