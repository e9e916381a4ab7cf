// Lines of the log: whatever a stranger writes stays on its line and moves no cursor.
#include "tools/server/request_log.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

namespace sluice::server {
namespace {

using testing::HasSubstr;

std::string LineOf(LogFormat format, const CallRecord& record) {
  std::ostringstream out;
  RequestLog(format, out).Write(record);
  return out.str();
}

CallRecord Forged() {
  return {.id = "1",
          .method = "G\x1b[31mET",
          .path = "/a\nFAKE",
          .status = 404,
          .outcome =
              "there is no /a\r\nFAKE \x1b[31m\x07\x7f \xC2\x9B"
              "1m \xE2\x80\xA8 \xE2\x80\xAE \xFF"};
}

TEST(RequestLog, LinesAreOneLineOfWhatCanBePrinted) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string line = LineOf(format, Forged());
    ASSERT_FALSE(line.empty());
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    for (const char c : line.substr(0, line.size() - 1)) {
      EXPECT_TRUE(c >= ' ' && c <= '~') << static_cast<int>(c) << " in " << line;
    }
  }
}

TEST(RequestLog, JsonKeepsWhatWasSaid) {
  const nlohmann::json line = nlohmann::json::parse(LineOf(LogFormat::kJson, Forged()));
  EXPECT_EQ(line["route"], "/a\nFAKE");
  EXPECT_THAT(line["outcome"].get<std::string>(), HasSubstr("\xE2\x80\xA8 \xE2\x80\xAE"));
}

TEST(RequestLog, TextHasAColumnForEachFact) {
  EXPECT_EQ(LineOf(LogFormat::kText, {.id = "1", .status = 400, .outcome = "no request"}),
            "1 - - 400 0.0 ms: no request\n");
  EXPECT_EQ(LineOf(LogFormat::kText, {.id = "2", .method = "GET", .path = "/", .status = 200}),
            "2 GET / 200 0.0 ms\n");
  EXPECT_EQ(LineOf(LogFormat::kNone, {.id = "2"}), "");
  const std::string outcome(100000, 'x');
  EXPECT_LT(LineOf(LogFormat::kText, {.id = "3", .outcome = outcome}).size(), 1100);
}

}  // namespace
}  // namespace sluice::server
