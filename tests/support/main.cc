// The main() of all tests.
//
//   graph_tests --only=graph/text_test.cc    of a binary's tests those of one source
//
// A crash tells where it happened. In builds with sanitizers these tell it.
#include <gmock/gmock.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/debugging/failure_signal_handler.h"
#include "absl/debugging/symbolize.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tests/support/arguments.h"
#include "tests/support/sanitized.h"

namespace sluice {
namespace {

std::vector<std::string>& Arguments() {
  static std::vector<std::string> arguments;
  return arguments;
}

// GoogleTest's filter for the tests of `source`, a path under tests/; "" if there is none.
std::string FilterOf(const std::string& source) {
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  std::string filter;
  for (int i = 0; i < all.total_test_suite_count(); ++i) {
    const testing::TestSuite& suite = *all.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const testing::TestInfo& test = *suite.GetTestInfo(j);
      if (absl::EndsWith(test.file(), absl::StrCat("/tests/", source))) {
        absl::StrAppend(&filter, filter.empty() ? "" : ":", suite.name(), ".", test.name());
      }
    }
  }
  return filter;
}

}  // namespace

const std::vector<std::string>& TestArguments() { return Arguments(); }

}  // namespace sluice

int main(int argc, char** argv) {
  if (!sluice::kSanitized) {
    absl::InitializeSymbolizer(argv[0]);
    absl::InstallFailureSignalHandler({});
  }
  testing::InitGoogleMock(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (!absl::ConsumePrefix(&argument, "--only=")) {
      sluice::Arguments().emplace_back(argument);
      continue;
    }
    const std::string filter = sluice::FilterOf(std::string(argument));
    if (filter.empty()) {
      std::fprintf(stderr, "no test of this binary is in %s\n", argv[i]);
      return 1;
    }
    testing::GTEST_FLAG(filter) = filter;
  }
  return RUN_ALL_TESTS();
}
