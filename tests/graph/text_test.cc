// The text form: what is printed, what is read, and what is refused, with its place.
#include "graph/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tests/support/ir_files.h"
#include "tests/support/toy_ops.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

absl::StatusOr<Graph> ParseToy(absl::string_view text) { return Parse(text, "text", &ToyOps()); }

// Prints what was parsed, or the error.
std::string Reprint(absl::string_view text) {
  const absl::StatusOr<Graph> graph = ParseToy(text);
  return graph.ok() ? Print(*graph) : std::string(graph.status().message());
}

std::string ErrorOf(absl::string_view text) {
  const absl::StatusOr<Graph> graph = ParseToy(text);
  return graph.ok() ? "no error" : std::string(graph.status().message());
}

// The error of a node line after `graph g`, `symbol t <= 8` and `input %x : f32[t,4]`: line 4.
std::string NodeError(absl::string_view line) {
  return ErrorOf(absl::StrCat("graph g\nsymbol t <= 8\ninput %x : f32[t,4]\n", line, "\n"));
}

TEST(Text, RoundTripsEverything) { EXPECT_EQ(Reprint(ToyGraphText()), ToyGraphText()); }

TEST(Text, PrintsTheSmallestGraphs) {
  EXPECT_EQ(Print(Graph("g", &ToyOps())), "graph g\n");
  EXPECT_EQ(Reprint("graph g\n"), "graph g\n");
  EXPECT_EQ(Reprint("graph \"\""), "graph \"\"\n");
}

TEST(Text, PrintsOneNode) {
  const absl::StatusOr<Graph> graph = ParseToy(ToyGraphText());
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(Print(*graph->nodes()[0]), "%l0.a = join(%ids, _, @blk.0.norm) : i32[tokens]");
}

TEST(Text, ReadsLooseLayout) {
  EXPECT_EQ(Reprint("// a comment\n\n  graph g // why\r\n"
                    "input %x:f32[ 2 ]\n\n\n"
                    "\tsymbol t<=8\n"
                    "%y=opts( %x ){i=2,b=true}:f32[2]by(p)kernel(k)\n"
                    "output %y"),
            "graph g\nsymbol t <= 8\ninput %x : f32[2]\n\n"
            "%y = opts(%x) {b=true, i=2} : f32[2] kernel(\"k\") by(p)\n\noutput %y\n");
}

TEST(Text, DropsDefaultsAndTrailingAbsentOperands) {
  EXPECT_EQ(Reprint("graph g\ninput %x : f32[2]\n%y = opts(%x) {i=1, mode=fast} : f32[2]\n"
                    "%z = join(%y, _, _) : f32[2]\n"),
            "graph g\ninput %x : f32[2]\n\n%y = opts(%x) : f32[2]\n%z = join(%y) : f32[2]\n");
}

TEST(Text, WeightsStandBeforeTheirFirstGroupInTheGraphsOrder) {
  EXPECT_EQ(Reprint("graph g\n"
                    "weight @w1 : f32[1]\nweight @w2 : f32[2]\nweight @w3 : f32[3]\n"
                    "%a.x = join(@w3, @w1) : f32[3]\n"
                    "%b.x = join(@w2, @w1) : f32[2]\n"
                    "output %b.x\n"),
            "graph g\n\n"
            "weight @w1 : f32[1]\nweight @w3 : f32[3]\n"
            "%a.x = join(@w3, @w1) : f32[3]\n\n"
            "weight @w2 : f32[2]\n"
            "%b.x = join(@w2, @w1) : f32[2]\n\n"
            "output %b.x\n");
}

TEST(Text, StatesKeepTheirOrder) {
  constexpr char kText[] =
      "graph g\ninput %x : f32[1]\n\n"
      "state %s1 : state<f32[1]>\nstate %s2 : state<f32[2]>\n"
      "%a.x = update(%s2, %x) : state<f32[2]>\n\n"
      "%b.x = update(%s1, %x) : state<f32[1]>\n\n"
      "state %s3 : state<f32[3]>\n";
  EXPECT_EQ(Reprint(kText), kText);
}

TEST(Text, StringsReadBackExactly) {
  for (const std::string text :
       {"", "plain", "two words", "true", "nan", "1", "-", "_", "a\"b\\c", "tab\tnew\nline\r",
        "\x01\x31\x7f", "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80", "\x01\xC3\xA9", "{},=[]//"}) {
    Graph graph(text, &ToyOps());
    graph.SetAttr("s", text);
    const absl::StatusOr<Graph> read = ParseToy(Print(graph));
    ASSERT_TRUE(read.ok()) << read.status() << "\n" << Print(graph);
    EXPECT_EQ(read->name(), text);
    EXPECT_EQ(std::get<std::string>(*read->attrs().Find("s")), text);
  }
  const std::string zero("\0a", 2);
  Graph graph(zero, &ToyOps());
  EXPECT_EQ(Print(graph), "graph \"\\x00\\x61\"\n");
  EXPECT_EQ(ParseToy(Print(graph))->name(), zero);
}

TEST(Text, NumbersReadBackExactly) {
  constexpr double kFloats[] = {0.0,
                                -0.0,
                                1.0,
                                1e-06,
                                0.1,
                                -2.5e300,
                                5e-324,
                                1e20,
                                123456789.0,
                                std::numeric_limits<double>::max(),
                                std::numeric_limits<double>::infinity(),
                                -std::numeric_limits<double>::infinity()};
  for (const double value : kFloats) {
    Graph graph("g", &ToyOps());
    graph.SetAttr("f", value);
    const absl::StatusOr<Graph> read = ParseToy(Print(graph));
    ASSERT_TRUE(read.ok()) << read.status();
    const double got = std::get<double>(*read->attrs().Find("f"));
    EXPECT_EQ(got, value);
    EXPECT_EQ(std::signbit(got), std::signbit(value));
  }
  for (const int64_t value :
       {int64_t{0}, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    Graph graph("g", &ToyOps());
    graph.SetAttr("i", value);
    EXPECT_EQ(std::get<int64_t>(*ParseToy(Print(graph))->attrs().Find("i")), value);
  }
  EXPECT_EQ(Reprint("graph g {f=nan, g=-nan}"), "graph g {f=nan, g=nan}\n");
}

// factor is a float.
TEST(Text, WholeNumbersAreFloatsWhereFloatsBelong) {
  const auto factor = [](absl::string_view number) {
    const absl::StatusOr<Graph> graph = Parse(absl::StrCat(
        "graph g\ninput %x : f32[4]\n%y = scale(%x) {factor=", number, "} : f32[4]\n"));
    EXPECT_TRUE(graph.ok()) << graph.status();
    return graph.ok() ? ToString(*graph->nodes()[0]->attrs().Find("factor")) : "";
  };
  EXPECT_EQ(factor("10000"), "10000.0");
  EXPECT_EQ(factor("-3"), "-3.0");
  EXPECT_EQ(factor("9007199254740992"), "9007199254740992.0");
  EXPECT_EQ(factor("0.5"), "0.5");
}

TEST(TextErrors, HavePlaceAndExpectation) {
  EXPECT_EQ(ErrorOf(""),
            "text:1:1: expected 'graph' and a name on the first line, "
            "got the end of the text");
  EXPECT_EQ(ErrorOf("\n\n  nonsense"),
            "text:3:3: expected 'graph' and a name on the first line, got 'nonsense'");
  EXPECT_EQ(ErrorOf("graph g {a=}"), "text:1:12: expected an attribute value, got '}'");
  EXPECT_EQ(ErrorOf("graph g\ngraph h\n"),
            "text:2:1: expected a line that begins with symbol, input, weight, state, output or "
            "%name, got 'graph'");
  EXPECT_EQ(ErrorOf("graph g\nsymbol t < 3"), "text:2:10: expected '<=', got '<'");
  EXPECT_EQ(ErrorOf("graph g\nsymbol t <= x"), "text:2:13: expected an upper bound, got 'x'");
  EXPECT_EQ(ErrorOf("graph g\nsymbol t <= 0"),
            "text:2:8: symbol 't' has the bound 0, expected at least 1");
  EXPECT_EQ(ErrorOf("graph g\ninput @x : f32[2]"),
            "text:2:7: expected the name of the input (%name), got '@x'");
  EXPECT_EQ(ErrorOf("graph g\nweight %x : f32[2]"),
            "text:2:8: expected the name of the weight (@name), got '%x'");
  EXPECT_EQ(ErrorOf("graph g\ninput %x f32[2]"), "text:2:10: expected ':', got 'f32'");
  EXPECT_EQ(ErrorOf("graph g\ninput %x : f32[2"),
            "text:2:17: expected ']', got the end of the line");
  EXPECT_EQ(ErrorOf("graph g\ninput %x : f32[2] 3\n"),
            "text:2:19: expected the end of the line, got '3'");
  EXPECT_EQ(ErrorOf("graph g \"h"),
            "text:1:9: expected the end of the line, got a string without a closing quote");
  EXPECT_EQ(ErrorOf("graph \"h\\\"\n\""),
            "text:1:7: expected the name of the graph, got a string "
            "without a closing quote");
  EXPECT_EQ(ErrorOf(absl::string_view("graph g\n\0", 9)),
            "text:2:1: expected a line that begins with symbol, input, weight, state, output or "
            "%name, got '\\x00'");
}

TEST(TextErrors, OfTypes) {
  EXPECT_THAT(ErrorOf("graph g\ninput %x : q9_k[2]"),
              StartsWith("text:2:12: unknown dtype 'q9_k', expected one of f32, f16, "));
  EXPECT_EQ(ErrorOf("graph g\ninput %x : f32[t]"),
            "text:2:16: unknown symbol 't', expected one that a line above declares");
  EXPECT_EQ(ErrorOf("graph g\ninput %x : f32[99999999999999999999]"),
            "text:2:16: '99999999999999999999' does not fit into 64 bits");
  EXPECT_EQ(ErrorOf("graph g\ninput %x : f32[1,1,1,1,1,1,1]"),
            "text:2:28: expected ']' after 6 dimensions, got '1'");
  EXPECT_EQ(ErrorOf("graph g\ninput %x : f32[0]"),
            "text:2:7: %x: f32[0]: the dimension 0 is not positive");
  EXPECT_THAT(ErrorOf("graph g\ninput %x : f32[9223372036854775807,4]"), HasSubstr("overflows"));
  EXPECT_THAT(ErrorOf("graph g\nsymbol t <= 9223372036854775807\ninput %x : f32[t*3]"),
              HasSubstr("overflows"));
  EXPECT_THAT(ErrorOf("graph g\nweight @x : q4_0[33]"), HasSubstr("not a multiple of the 32"));
  EXPECT_THAT(ErrorOf("graph g\nweight @x : state<f32[2]>"), HasSubstr("only states"));
  EXPECT_THAT(ErrorOf("graph g\nstate %x : f32[2]"), HasSubstr("only states"));
  EXPECT_EQ(ErrorOf("graph g\nstate %x : state<state<f32[2]>>"),
            absl::StrCat(ErrorOf("graph g\nstate %x : state<state[2]>")));
}

TEST(TextErrors, OfNodes) {
  EXPECT_EQ(NodeError("%y = neg(%z) : f32[t,4]"), "text:4:10: no line above defines '%z'");
  EXPECT_EQ(NodeError("%y = neg(%y) : f32[t,4]"), "text:4:10: no line above defines '%y'");
  EXPECT_THAT(NodeError("%y = nag(%x) : f32[t,4]"), StartsWith("text:4:6: %y: unknown op 'nag'"));
  EXPECT_EQ(NodeError("%x = neg(%x) : f32[t,4]"), "text:4:6: %x: %x is defined twice");
  EXPECT_THAT(NodeError("%y, %z = neg(%x) : f32[t,4]"), HasSubstr("has 1 results, but 2 names"));
  EXPECT_THAT(NodeError("%y, %y = pair(%x) : f32[t,4], i32[t,4]"), HasSubstr("defined twice"));
  EXPECT_EQ(NodeError("%y = neg(%x, %x) : f32[t,4]"),
            "text:4:6: %y: 'neg' takes (x), got 2 operands");
  EXPECT_THAT(NodeError("%y = join(_, %x) : f32[t,4]"), HasSubstr("required but left out"));
  EXPECT_THAT(NodeError("%y = need(%x) : f32[t,4]"), HasSubstr("needs the attribute 'n'"));
  EXPECT_THAT(NodeError("%y = need(%x) {n=1.5} : f32[t,4]"),
              HasSubstr("is a float (1.5), expected a int"));
  EXPECT_THAT(NodeError("%y = neg(%x) {n=1} : f32[t,4]"), HasSubstr("has no attribute 'n'"));
  EXPECT_EQ(NodeError("%y = need(%x) {n=1, n=1} : f32[t,4]"),
            "text:4:21: attribute 'n' is given twice");
  EXPECT_THAT(NodeError("%y = opts(%x) {mode=none} : f32[t,4]"),
              HasSubstr("expected one of fast, slow"));
  EXPECT_EQ(NodeError("%y = opts(%x) {f=1e999} : f32[t,4]"),
            "text:4:18: '1e999' is beyond the range of a float");
  EXPECT_EQ(NodeError("%y = opts(%x) {f=1.2.3} : f32[t,4]"),
            "text:4:18: expected a number, got '1.2.3'");
  EXPECT_EQ(NodeError("%y = opts(%x) {i=1-2} : f32[t,4]"),
            "text:4:18: expected an integer, got '1-2'");
  EXPECT_THAT(NodeError("%y = opts(%x) {s=\"\\q\"} : f32[t,4]"),
              StartsWith("text:4:18: bad escape in a string"));
  EXPECT_EQ(NodeError("%y = opts(%x) {1=2} : f32[t,4]"),
            "text:4:16: '1' is no name for an attribute: expected letters, digits, _, no digit "
            "first");
}

// Every line that is wrong by itself, and none that is wrong for another's sake.
TEST(TextErrors, AllAreTold) {
  const auto lines_of = [](absl::string_view text) {
    std::vector<std::string> places;
    for (const absl::string_view line : absl::StrSplit(ErrorOf(text), '\n')) {
      places.emplace_back(line.substr(0, line.find(": ")));
    }
    return places;
  };
  constexpr char kText[] = R"(graph g
symbol t <= 8
input %x : f32[tt,4]                    // wrong
weight @w : f33[4]                      // wrong
input %y : f32[tt,4]                    // for line 3
input %z : f32[t,4]
%a = nag(%z) : f32[t,4]                 // wrong
%b = neg(%a, @w) : f32[t,5]             // may be right with %a
%c = opts(%b) {mod=fast} : f32[t,4]     // wrong
%d = neg(%z) : f32[t,5]                 // wrong
%e = neg(%d) : f32[t,5]                 // for line 10
%f = neg %z : f32[t,4]                  // wrong
%g = neg(%none) : f32[t,4]              // wrong
%h = neg(%none) : f32[t,4]              // for line 13
%i = neg(%z) : f32[t,4] once once       // wrong
%e = neg(%z) : f32[t,4] mem(act+0x4:1)
%j = neg(%e) : f32[t,5]                 // wrong, now that there is an %e
outputs %j                              // wrong
output %a                               // for line 7
output %z                               // wrong
)";
  EXPECT_THAT(lines_of(kText), ElementsAre("text:3:16", "text:4:13", "text:7:6", "text:9:6",
                                           "text:10:16", "text:12:10", "text:13:10", "text:15:30",
                                           "text:17:16", "text:18:1", "text:20:8"));
}

TEST(TextErrors, AreToldUpToALimit) {
  std::string text = "graph g\n";
  for (int i = 0; i < 25; ++i) absl::StrAppend(&text, "%a", i, " = nag() : f32[2]\n");
  EXPECT_THAT(ErrorOf(text), testing::EndsWith("\nand 5 more"));
  for (int i = 0; i < 10000; ++i) absl::StrAppend(&text, "nonsense\n");
  EXPECT_THAT(ErrorOf(text), testing::EndsWith("\nand at least 980 more"));
  // The rest of a text that is no tokens is not looked at.
  EXPECT_EQ(ErrorOf("graph g\nsymbol t <= \"\nnonsense"),
            "text:2:13: expected an upper bound, got a string without a closing quote");
}

// Names that nothing has, in the forms in which a graph may have them.
TEST(TextErrors, NameWhatMayBeMeant) {
  EXPECT_THAT(NodeError("%y = negg(%x) : f32[t,4]"), HasSubstr("did you mean 'neg'?"));
  EXPECT_THAT(NodeError("%y = opts(%x) {mdoe=slow} : f32[t,4]"), HasSubstr("did you mean 'mode'?"));
  EXPECT_THAT(NodeError("%y = opts(%x) {mode=slwo} : f32[t,4]"), HasSubstr("did you mean 'slow'?"));
  EXPECT_THAT(NodeError("inptu %y : f32[2]"), HasSubstr("did you mean 'input'?"));
  EXPECT_THAT(ErrorOf("graph g\nsymbol tokens <= 8\ninput %x : f23[tokens]"),
              HasSubstr("did you mean 'f32'?"));
  EXPECT_THAT(ErrorOf("graph g\nsymbol tokens <= 8\ninput %x : f32[token]"),
              HasSubstr("did you mean 'tokens'?"));
}

TEST(TextErrors, DeclaredTypesMustBeTheInferredOnes) {
  EXPECT_EQ(NodeError("%y = neg(%x) : f32[t,5]"),
            "text:4:16: %y: the declared type is f32[t,5], but 'neg' gives f32[t,4]");
  EXPECT_EQ(NodeError("%y, %z = pair(%x) : f32[t,4], f32[t,4]"),
            "text:4:21: %z: the declared type is f32[t,4], but 'pair' gives i32[t,4]");
  EXPECT_EQ(NodeError("%y = neg(%x) : f32[t,4], f32[t,4]"),
            "text:4:16: %y: 2 types are declared, but 'neg' has 1 results");
}

TEST(TextErrors, OfAnnotations) {
  EXPECT_EQ(NodeError("%y = neg(%x) : f32[t,4] kernel(k) kernel(k)"),
            "text:4:35: expected the end of the line, got 'kernel'");
  EXPECT_EQ(NodeError("%y = neg(%x) : f32[t,4] mem(act+0x0:128, _)"),
            "text:4:40: expected ')', got ','");
  EXPECT_EQ(NodeError("%y = neg(%x) : f32[t,4] mem(act-0x40:128)"),
            "text:4:37: expected '+', got ':'");
  EXPECT_EQ(NodeError("%y = neg(%x) : f32[t,4] mem(act+0x:128)"),
            "text:4:33: expected an offset, got '0x'");
  EXPECT_EQ(NodeError("%y = neg(%x) : f32[t,4] mem(act+0xffffffffffffffff:128)"),
            "text:4:33: '0xffffffffffffffff' does not fit into 64 bits");
  EXPECT_EQ(NodeError("output %x"),
            "text:4:8: %x cannot be an output: expected a node's tensor result");
}

TEST(TextErrors, OfTheVerifierHaveThePlaceOfTheNode) {
  EXPECT_THAT(NodeError("%y = neg(%x) : f32[t,4] mem(act+0x0:127)"),
              StartsWith("text:4:1: rule V11 "));
  EXPECT_THAT(NodeError("%y, %z = pair(%x) : f32[t,4], i32[t,4] mem(_, act+0x0:1)"),
              StartsWith("text:4:1: rule V11 "));
  EXPECT_THAT(ErrorOf("graph \"\\xff\""), StartsWith("text: rule V12 "));
}

// Each costs seconds at most where the work is linear, and hours where it is not.
TEST(TextErrors, LargeHostileTextsAreCheap) {
  constexpr int kMany = 100000;
  std::string attrs = "graph g {a=1", symbols = "graph g", deep = "graph g {a=", long_line;
  for (int i = 0; i < kMany; ++i) {
    absl::StrAppend(&attrs, ", a", i, "=1");
    absl::StrAppend(&symbols, "\nsymbol s", i, " <= 1");
    deep += '[';
  }
  EXPECT_THAT(ErrorOf(attrs + "}"), HasSubstr("one too many"));
  EXPECT_THAT(ErrorOf(symbols), HasSubstr("one too many"));
  EXPECT_EQ(ErrorOf(deep), "text:1:13: expected a dimension, got '['");

  std::string chain = "graph g\ninput %x0 : f32[1]\n", outputs, operands;
  for (int i = 1; i < kMany; ++i) {
    absl::StrAppend(&chain, "%x", i, " = neg(%x", i - 1, ") : f32[1] mem(act+",
                    i % 2 ? "0x0" : "0x40", ":4)\n");
    absl::StrAppend(&outputs, "output %x", i, "\n");
    absl::StrAppend(&operands, "%x0, ");
  }
  EXPECT_TRUE(ParseToy(chain).ok()) << ErrorOf(chain);
  EXPECT_THAT(ErrorOf(chain + outputs), HasSubstr("one output too many"));
  EXPECT_TRUE(ParseToy(absl::StrCat(chain, "%y = pack(", operands, "%x0) : f32[1]")).ok());
  EXPECT_THAT(ErrorOf(absl::StrCat("graph g\n%", std::string(1 << 20, 'x'), "\n")),
              StartsWith("text:2:1048578: expected '='"));
}

// Graphs of real ops, as Print writes them.
class TextFiles : public testing::TestWithParam<std::string> {};

TEST_P(TextFiles, RoundTrip) {
  const std::string text = ReadIrFile(GetParam());
  const absl::StatusOr<Graph> graph = Parse(text, GetParam());
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(Print(*graph), text);
}

INSTANTIATE_TEST_SUITE_P(All, TextFiles, testing::ValuesIn(IrFiles("valid")), IrTestName);

class HostileTextFiles : public testing::TestWithParam<std::string> {};

TEST_P(HostileTextFiles, AreRefused) {
  const std::string text = ReadIrFile(GetParam());
  absl::string_view expected = absl::string_view(text).substr(0, text.find('\n'));
  ASSERT_TRUE(absl::ConsumePrefix(&expected, "// expect: "));
  const absl::StatusOr<Graph> graph = Parse(text, "file");
  ASSERT_FALSE(graph.ok());
  EXPECT_THAT(std::string(graph.status().message()), HasSubstr(std::string(expected)));
}

INSTANTIATE_TEST_SUITE_P(All, HostileTextFiles, testing::ValuesIn(IrFiles("hostile")), IrTestName);

}  // namespace
}  // namespace sluice
