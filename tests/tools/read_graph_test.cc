// Graph files in every form, and the places that errors name.
#include "tools/debug/read_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "graph/proto_io.h"
#include "graph/text.h"
#include "tests/support/paths.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string FormOf(const std::string& extension) {
  std::stringstream content;
  content << std::ifstream(TestDataDir() + "/ir/forms/all." + extension).rdbuf();
  return content.str();
}

std::string ErrorOf(const std::string& content) {
  const absl::StatusOr<Graph> graph = ReadGraph(content, "file");
  EXPECT_FALSE(graph.ok());
  return std::string(graph.status().message());
}

// The content with its first `from` replaced.
std::string Spoilt(std::string content, const std::string& from, const std::string& to) {
  const size_t at = content.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return content.replace(at, from.size(), to);
}

TEST(ReadGraph, AllFormsHoldTheSameGraph) {
  const absl::StatusOr<Graph> from_json = ReadGraph(FormOf("json"), "file");
  const absl::StatusOr<Graph> from_textproto = ReadGraph(FormOf("textproto"), "file");
  ASSERT_TRUE(from_json.ok()) << from_json.status();
  ASSERT_TRUE(from_textproto.ok()) << from_textproto.status();
  const std::string text = Print(*from_json);
  EXPECT_THAT(text, StartsWith("graph forms {"));
  EXPECT_EQ(Print(*from_textproto), text);
  for (const std::string& content : {text, ToProto(*from_json).SerializeAsString()}) {
    const absl::StatusOr<Graph> again = ReadGraph(content, "file");
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(Print(*again), text);
  }
}

TEST(ReadGraph, TextErrorsHaveLineAndColumn) {
  EXPECT_EQ(ErrorOf("graph g\noutput %x\n").substr(0, 9), "file:2:8:");
}

TEST(ReadGraph, BrokenJsonHasLineAndColumn) {
  EXPECT_THAT(ErrorOf("{\n \"name\": \"x\",,\n}"),
              AllOf(StartsWith("file:2:14: "), HasSubstr("unexpected")));
  EXPECT_THAT(ErrorOf("{\n \"name\": \"x\"\n"),
              AllOf(StartsWith("file:3:"), HasSubstr("unexpected")));
  EXPECT_THAT(ErrorOf("{\n \"nodes\": [ tru ]\n}"), StartsWith("file:2:1"));
}

TEST(ReadGraph, JsonThatIsNoGraphHasThePathOfTheField) {
  EXPECT_THAT(ErrorOf("{\"nodes\": [\n {\"op\": \"a]\\\"d\"},\n  {\"opp\": 3} ]}"),
              AllOf(StartsWith("file:3:3: "), HasSubstr("nodes[1]"), HasSubstr("opp")));
  EXPECT_THAT(ErrorOf("{\"symbols\": [\n {\"bound\": \"many\"} ]}"),
              AllOf(StartsWith("file:2:12: "), HasSubstr("symbols[0].bound"), HasSubstr("many")));
}

TEST(ReadGraph, BrokenTextProtoHasLineAndColumn) {
  EXPECT_THAT(ErrorOf("name: \"g\"\nnodes { op: }\n"), StartsWith("file:2:13: "));
  EXPECT_THAT(ErrorOf("name: \"g\"\nnodes { opp: \"add\" }\n"),
              AllOf(StartsWith("file:2:12: "), HasSubstr("opp")));
}

TEST(ReadGraph, MessagesThatAreNoGraphHaveThePlaceInTheMessage) {
  for (const auto& [form, place] :
       {std::pair{"json", "[0-9]+:[0-9]+: "}, std::pair{"textproto", " "}}) {
    const auto is_at = [place = std::string(place)](const std::string& list) {
      return testing::ContainsRegex(absl::StrCat("^file:", place, list, "."));
    };
    EXPECT_THAT(ErrorOf(Spoilt(FormOf(form), "\"matmul\"", "\"mat mul\"")),
                AllOf(is_at("nodes"), HasSubstr("mat mul")));
    EXPECT_THAT(ErrorOf(Spoilt(FormOf(form), "\"q8_0\"", "\"q9_9\"")),
                AllOf(is_at("weights"), HasSubstr("q9_9")));
  }
  const std::string spoilt = Spoilt(FormOf("json"), "\"matmul\"", "\"mat mul\"");
  const std::string before = spoilt.substr(0, spoilt.find("\"mat mul\""));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  int64_t place = 0;
  const std::string error = ErrorOf(spoilt);
  ASSERT_TRUE(absl::SimpleAtoi(error.substr(5, error.find(':', 5) - 5), &place)) << error;
  EXPECT_LE(place, line);  // where the node begins
  EXPECT_GE(place, line - 3);
}

TEST(ReadGraph, ATruncatedMessageSaysWhere) {
  const absl::StatusOr<Graph> graph = ReadGraph(FormOf("json"), "file");
  ASSERT_TRUE(graph.ok()) << graph.status();
  const std::string whole = ToProto(*graph).SerializeAsString();
  const std::string last = whole.substr(0, whole.size() - 1);
  EXPECT_THAT(ErrorOf(last), testing::MatchesRegex("file: is a graph in binary form, but it is "
                                                   "truncated: the field at byte [0-9]+ has "
                                                   "[0-9]+ bytes, and [0-9]+ are left"));
  EXPECT_THAT(ErrorOf(whole + "\x0a"), HasSubstr(absl::StrCat("off at byte ", whole.size())));
  for (size_t size = 10; size < whole.size(); ++size) {  // each is an error or a smaller graph
    const absl::StatusOr<Graph> part = ReadGraph(whole.substr(0, size), "file");
    const std::string error(part.status().message());
    EXPECT_TRUE(part.ok() || absl::StartsWith(error, "file: ")) << error;
  }
}

TEST(ReadGraph, OtherBytesAreRefused) {
  EXPECT_THAT(ErrorOf("GGUF\x03"),
              AllOf(StartsWith("file: is no graph: it is a GGUF file: "), HasSubstr("sluice run")));
  EXPECT_THAT(ErrorOf("<html>"), StartsWith("file: is no graph: it is a web page"));
  EXPECT_EQ(ErrorOf(""), "file: is empty, expected a graph");
}

}  // namespace
}  // namespace sluice
