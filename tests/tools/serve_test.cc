// What `sluice serve` prints: where it listens, what others could do, and nothing that a stranger
// wrote as it came.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <string>
#include <vector>

#include "tests/support/program.h"
#include "tests/support/wire.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// All that a server says that is ended once it listens.
std::string SaidBy(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"serve", "--port", "0"});
  Program program(std::move(arguments));
  program.AwaitError("loading the model\n");
  program.Interrupt();
  program.Finish();
  return program.errors();
}

TEST(Serve, SaysWhereItListens) {
  EXPECT_THAT(SaidBy({}),
              AllOf(HasSubstr("listening on http://127.0.0.1:"), Not(HasSubstr("warning: "))));
  for (const char* host : {"::1", "[::1]"}) {
    const std::string said = SaidBy({"--host", host});
    if (said.find("cannot listen") != std::string::npos) GTEST_SKIP() << said;
    EXPECT_THAT(said, HasSubstr("listening on http://[::1]:"));
  }
}

TEST(Serve, WarnsWheneverOthersReachIt) {
  EXPECT_THAT(SaidBy({"--host", "0.0.0.0"}), HasSubstr("whoever reaches this machine"));
  EXPECT_THAT(SaidBy({"--host", "0.0.0.0", "--api-key", "secret"}), HasSubstr("unencrypted"));
  EXPECT_THAT(SaidBy({"--api-key", "secret"}), Not(HasSubstr("unencrypted")));
}

TEST(Serve, ItsLogCannotBeForged) {
  Program program({"serve", "--port", "0"});
  program.AwaitError("loading the model\n");
  std::smatch port;
  const std::string said = program.errors();
  ASSERT_TRUE(std::regex_search(said, port, std::regex("127\\.0\\.0\\.1:([0-9]+)"))) << said;
  Wire wire(std::stoi(port[1]));
  wire.Say("GET /a%0aFAKE%1b[31m HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(wire.Hear(), HasSubstr("404 Not Found"));
  program.AwaitError("FAKE");
  program.Interrupt();
  EXPECT_EQ(program.Finish(), 0);
  EXPECT_THAT(program.errors(), HasSubstr("there is no /a\\x0AFAKE\\x1B[31m\n"));
  EXPECT_EQ(program.errors().find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace sluice
