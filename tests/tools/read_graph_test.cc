// Graph files in every form, and the places that errors name.
#include "tools/debug/read_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "graph/builder.h"
#include "graph/proto_io.h"
#include "graph/text.h"
#include "tests/support/paths.h"
#include "tests/support/random_graph.h"

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

TEST(ReadGraph, EachErrorOfAMessageHasItsPlace) {
  std::string inputs = "{\"name\": \"g\", \"inputs\": [";
  for (int i = 0; i < 22; ++i) {
    absl::StrAppend(&inputs, i > 0 ? "," : "", "\n {\"name\": \"x", i, "\"}");
  }
  EXPECT_THAT(ErrorOf(inputs + "]}"),
              AllOf(StartsWith("file:2:2: inputs[0]: x0: unknown dtype"),
                    HasSubstr("\nfile:21:2: inputs[19]: "), testing::EndsWith("\nand 2 more")));
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

// ---- Every value that an attribute may have comes back, to the last bit, from every form.

// Equal, -0.0 and 0.0 not, and NaN to itself.
bool IsSame(const AttrValue& a, const AttrValue& b) {
  const double* x = std::get_if<double>(&a);
  const double* y = std::get_if<double>(&b);
  if (x == nullptr || y == nullptr) return a == b;
  if (std::isnan(*x)) return std::isnan(*y);
  return std::bit_cast<uint64_t>(*x) == std::bit_cast<uint64_t>(*y);
}

void ExpectAllFormsKeep(const Attributes& attrs, const std::string& name = "g") {
  GraphBuilder b(name);
  for (const auto& [key, value] : attrs) b.Attr(key, value);
  b.Output(b.Op("y", "silu", {b.Input("x", {DType::kF32, {2}})}));
  const absl::StatusOr<Graph> graph = std::move(b).Build();
  ASSERT_TRUE(graph.ok()) << graph.status();
  for (const absl::string_view form : kWholeForms) {
    const absl::StatusOr<std::string> content = WriteGraph(*graph, form);
    ASSERT_TRUE(content.ok()) << content.status();
    const absl::StatusOr<Graph> again = ReadGraph(*content, "file");
    ASSERT_TRUE(again.ok()) << form << ": " << again.status() << "\n" << *content;
    EXPECT_EQ(Print(*again), Print(*graph)) << form;
    for (const auto& [key, value] : attrs) {
      const AttrValue* got = again->attrs().Find(key);
      ASSERT_NE(got, nullptr) << form << " " << key;
      EXPECT_TRUE(IsSame(*got, value))
          << form << ": " << ToString(value) << " became " << ToString(*got);
    }
  }
}

TEST(GraphForms, KeepFloats) {
  using Limits = std::numeric_limits<double>;
  Attributes attrs;
  int i = 0;
  for (const double value : {0.0,
                             -0.0,
                             1.0,
                             -1.0,
                             0.1,
                             1e-6,
                             1e15,
                             1e16,
                             1e17,
                             1e308,
                             -1e308,
                             9007199254740992.0,
                             9007199254740994.0,
                             1.7976931348623157e308,
                             2.2250738585072014e-308,
                             5e-324,
                             -5e-324,
                             2.225073858507201e-308,
                             9223372036854775808.0,
                             18446744073709551616.0,
                             Limits::infinity(),
                             -Limits::infinity(),
                             Limits::quiet_NaN()}) {
    attrs.Set(absl::StrCat("f", i++), value);
  }
  ExpectAllFormsKeep(attrs);
  for (const Attributes& one : {Attributes{{"a", -0.0}}, Attributes{{"a", 0.0}}}) {
    ExpectAllFormsKeep(one);
  }
}

TEST(GraphForms, KeepFloatsOfAnyBits) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 20; ++round) {
    Attributes attrs;
    for (int i = 0; i < 200; ++i) {
      attrs.Set(absl::StrCat("f", i), std::bit_cast<double>(random()));
    }
    ExpectAllFormsKeep(attrs);
  }
}

TEST(GraphForms, KeepIntegersAndShapes) {
  using Limits = std::numeric_limits<int64_t>;
  Attributes attrs = {
      {"shape", Shape{1, int64_t{1} << 40, 3}}, {"empty", Shape{}}, {"yes", true}, {"no", false}};
  int i = 0;
  for (const int64_t value : {Limits::min(), Limits::min() + 1, int64_t{-1}, int64_t{0},
                              (int64_t{1} << 53) + 1, -(int64_t{1} << 53) - 1, Limits::max()}) {
    attrs.Set(absl::StrCat("i", i++), value);
  }
  ExpectAllFormsKeep(attrs);
}

TEST(GraphForms, KeepStrings) {
  Attributes attrs;
  int i = 0;
  for (const char* text : {"",
                           "word",
                           "two words",
                           "true",
                           "false",
                           "inf",
                           "nan",
                           "-inf",
                           "Infinity",
                           "NaN",
                           "-0",
                           "12",
                           "1e5",
                           "[1,2]",
                           "\"quoted\"",
                           "back\\slash",
                           "\\\"",
                           "new\nline",
                           "tab\t",
                           "\x01",
                           "\x7f",
                           "\x1b[31m",
                           "\u00e9t\u00e9",
                           "\u4f60\u597d",
                           "\U0001f600",
                           "\u2028",
                           "\u00a0",
                           "e\u0301",
                           "// no comment",
                           "# no comment",
                           "{a: 1}",
                           "}",
                           "'",
                           "\": -0, \"",
                           "%x",
                           "@w",
                           "\x01f",
                           "\u00e9f"}) {
    attrs.Set(absl::StrCat("s", i++), std::string(text));
  }
  attrs.Set("zero", std::string("a\0b", 3));
  ExpectAllFormsKeep(attrs);
}

// A serialised graph begins with the length of its name, which may be any character.
TEST(GraphForms, KeepNamesOfEveryLength) {
  for (size_t length = 1; length <= 130; ++length) {
    ExpectAllFormsKeep({}, std::string(length, 'n'));
  }
  ExpectAllFormsKeep({}, "caf\u00e9 \"-0\"");
}

// jq writes it so.
TEST(GraphForms, ReadsANegativeZeroWithoutAPoint) {
  const auto graph = ReadGraph(
      "{\"name\": \"g -0 \\\" -0\", \"attributes\": [{\"name\": \"a\", \"float_value\": -0},"
      "{\"name\": \"b\", \"float_value\":-0}, {\"name\": \"c\", \"float_value\": 1e-0}]}",
      "file");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->name(), "g -0 \" -0");
  EXPECT_TRUE(IsSame(*graph->attrs().Find("a"), -0.0));
  EXPECT_TRUE(IsSame(*graph->attrs().Find("b"), -0.0));
  EXPECT_TRUE(IsSame(*graph->attrs().Find("c"), 1.0));
}

TEST(GraphForms, KeepRandomGraphs) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const absl::StatusOr<Graph> graph = MakeRandomGraph(seed);
    ASSERT_TRUE(graph.ok()) << graph.status();
    for (const absl::string_view form : kWholeForms) {
      const absl::StatusOr<Graph> again = ReadGraph(*WriteGraph(*graph, form), "file");
      ASSERT_TRUE(again.ok()) << form << ": " << again.status();
      EXPECT_EQ(Print(*again), Print(*graph)) << form << " of seed " << seed;
    }
  }
}

}  // namespace
}  // namespace sluice
