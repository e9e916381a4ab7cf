#include "tools/debug/diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "graph/text.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr absl::string_view kBase =
    "graph base {layers=1}\n"
    "symbol tokens <= 8\n"
    "input %x : f32[tokens,4]\n"
    "input %z : f32[tokens,4]\n"
    "weight @w : f32[4,4]\n"
    "%a = matmul(%x, @w) : f32[tokens,4] mem(act+0x0:128)\n"
    "%b = silu(%a) : f32[tokens,4] kernel(cpu.silu) by(some_pass)\n"
    "%c = mul(%b, %z) : f32[tokens,4]\n"
    "%d = scale(%c) {factor=2.0} : f32[tokens,4]\n"
    "output %d\n";

Graph MustParse(absl::string_view text) {
  absl::StatusOr<Graph> graph = Parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status();
  return *std::move(graph);
}

// kBase with replacements, compared with kBase.
GraphDiff DiffOf(std::initializer_list<std::pair<absl::string_view, absl::string_view>> edits,
                 std::vector<std::string> ignored = {}) {
  return Diff(MustParse(kBase), MustParse(absl::StrReplaceAll(kBase, edits)), ignored);
}

// "node %a: kernel x -> y; ..." for a change, "+ node %a" and "- node %a" for the rest.
std::string Short(const Difference& difference) {
  const std::string name = absl::StrCat(difference.what, " ", difference.name);
  if (difference.kind == Difference::Kind::kAdded) return "+ " + name;
  if (difference.kind == Difference::Kind::kRemoved) return "- " + name;
  std::string text = name + ":";
  for (const FieldChange& change : difference.fields) {
    absl::StrAppend(&text, " ", change.field, " ", change.before, " -> ", change.after, ";");
  }
  return text;
}

std::vector<std::string> Short(const GraphDiff& diff) {
  std::vector<std::string> list;
  for (const Difference& difference : diff.differences) list.push_back(Short(difference));
  return list;
}

TEST(Diff, EqualGraphsHaveNone) {
  const GraphDiff diff = DiffOf({});
  EXPECT_TRUE(diff.empty());
  EXPECT_EQ(Print(diff, /*colour=*/false), "");
}

TEST(Diff, FindsEachFieldOfANode) {
  EXPECT_THAT(Short(DiffOf({{"= silu", "= gelu"}})), ElementsAre("node %b: op silu -> gelu;"));
  EXPECT_THAT(Short(DiffOf({{"(%b, %z)", "(%b, %x)"}})),
              ElementsAre("node %c: operands %b, %z -> %b, %x;"));
  EXPECT_THAT(Short(DiffOf({{"2.0", "3.0"}})),
              ElementsAre("node %d: attributes {factor=2.0} -> {factor=3.0};"));
  EXPECT_THAT(Short(DiffOf({{"cpu.silu", "\"cpu.silu 2\""}})),
              ElementsAre("node %b: kernel cpu.silu -> \"cpu.silu 2\";"));
  EXPECT_THAT(Short(DiffOf({{"some_pass", "other"}})),
              ElementsAre("node %b: origin some_pass -> other;"));
  EXPECT_THAT(Short(DiffOf({{"act+0x0:128", "act+0x40:128"}})),
              ElementsAre("node %a: memory act+0x0:128 -> act+0x40:128;"));
  EXPECT_THAT(Short(DiffOf({{" mem(act+0x0:128)", " mem(act+0x0:128) scratch(act+0x80:64)"}})),
              ElementsAre("node %a: scratch  -> act+0x80:64;"));
}

TEST(Diff, FindsResultsThatWereRenamedAndNodesThatRunOnce) {
  constexpr absl::string_view kText =
      "graph g\nweight @w : f32[2,8]\n%p, %id = topk_softmax(@w) {k=2} : f32[2,2], i32[2,2]\n"
      "output %p\n";
  const Graph before = MustParse(kText);
  const Graph renamed = MustParse(absl::StrReplaceAll(kText, {{"%id", "%ids"}}));
  EXPECT_THAT(Short(Diff(before, renamed)), ElementsAre("node %p: results %p, %id -> %p, %ids;"));
  const Graph once = MustParse(absl::StrReplaceAll(kText, {{"i32[2,2]", "i32[2,2] once"}}));
  EXPECT_THAT(Short(Diff(before, once)), ElementsAre("node %p: once  -> once;"));
}

TEST(Diff, FindsSourcesSymbolsAndFactsOfTheGraph) {
  EXPECT_THAT(Short(DiffOf({{"base", "other"}, {"layers=1", "layers=2"}})),
              ElementsAre("graph : name base -> other; attributes {layers=1} -> {layers=2};"));
  EXPECT_THAT(Short(DiffOf({{"<= 8", "<= 4"}, {" mem(act+0x0:128)", ""}}, {"memory"})),
              ElementsAre("symbol tokens: bound 8 -> 4;"));
  EXPECT_THAT(Short(DiffOf({{"@w : f32", "@w : f16"}})),
              ElementsAre("weight @w: types f32[4,4] -> f16[4,4];"));
  EXPECT_THAT(Short(DiffOf({{"@w : f32[4,4]", "@w : f32[4,4] layout(rows8)"}})),
              ElementsAre("weight @w: layout  -> rows8;"));
  EXPECT_THAT(Short(DiffOf({{"weight @w", "weight @unused : f32[4]\nweight @w"}})),
              ElementsAre("+ weight @unused"));
  EXPECT_THAT(Short(DiffOf({{"weight @w", "state %s : state<f16[4]>\nweight @w"}})),
              ElementsAre("+ state %s"));
  EXPECT_THAT(Short(DiffOf({{"output %d", "output %d\noutput %c"}})),
              ElementsAre("graph : outputs %d -> %d, %c;"));
}

TEST(Diff, OrderOfInputsHasAMeaning) {
  EXPECT_THAT(Short(DiffOf({{"input %x : f32[tokens,4]\ninput %z : f32[tokens,4]\n",
                             "input %z : f32[tokens,4]\ninput %x : f32[tokens,4]\n"}})),
              ElementsAre("input %z: order after %x -> first;"));
}

TEST(Diff, FindsAddedAndRemovedNodesWhereTheyStand) {
  const GraphDiff diff = DiffOf({{"%b = silu(%a) : f32[tokens,4] kernel(cpu.silu) by(some_pass)",
                                  "%n = gelu(%a) : f32[tokens,4]"},
                                 {"(%b, %z)", "(%n, %z)"}});
  EXPECT_THAT(Short(diff),
              ElementsAre("+ node %n", "- node %b", "node %c: operands %b, %z -> %n, %z;"));
  EXPECT_EQ(diff.differences[0].line, "%n = gelu(%a) : f32[tokens,4]");
}

// %q moves to the end: one part has moved, not all the others.
TEST(Diff, CallsAsFewNodesMovedAsPossible) {
  constexpr absl::string_view kHead = "graph g\ninput %x : f32[4]\n";
  constexpr absl::string_view kQ = "%q = silu(%x) : f32[4]\n";
  constexpr absl::string_view kRest =
      "%r = gelu(%x) : f32[4]\n%s = silu(%r) : f32[4]\n%t = gelu(%s) : f32[4]\n";
  constexpr absl::string_view kTail = "output %q\noutput %t\n";
  const GraphDiff diff = Diff(MustParse(absl::StrCat(kHead, kQ, kRest, kTail)),
                              MustParse(absl::StrCat(kHead, kRest, kQ, kTail)));
  EXPECT_THAT(Short(diff), ElementsAre("node %q: order first -> after %t;"));
  EXPECT_THAT(Print(diff, false), HasSubstr("> %q\n    order      first -> after %t\n"));
  EXPECT_THAT(Print(diff, false), HasSubstr("0 added, 0 removed, 0 changed, 1 moved\n"));
}

TEST(Diff, SaysWhichNodeTookOverTheResultOfARemovedOne) {
  const Graph before = MustParse(
      "graph g\nweight @w : f32[2,8]\n%v = scale(@w) {factor=2.0} : f32[2,8]\n"
      "%p, %id = topk_softmax(@w) {k=2} : f32[2,2], i32[2,2]\noutput %p\noutput %v\n");
  const Graph after = MustParse(
      "graph g\nweight @w : f32[2,8]\n%p, %v = topk_softmax(@w) {k=2} : f32[2,2], i32[2,2]\n"
      "output %p\noutput %v\n");
  const GraphDiff diff = Diff(before, after);
  EXPECT_THAT(Short(diff), ElementsAre("- node %v", "node %p: results %p, %id -> %p, %v;"));
  EXPECT_EQ(diff.differences[0].now_in, "%p");
  EXPECT_THAT(Print(diff, false), HasSubstr("    now in %p\n"));
}

TEST(Diff, IgnoresWhatItIsToldTo) {
  const std::initializer_list<std::pair<absl::string_view, absl::string_view>> edits = {
      {"cpu.silu", "cpu.other"}, {"some_pass", "other"}, {"act+0x0", "act+0x80"}};
  EXPECT_EQ(DiffOf(edits).differences.size(), 2u);
  EXPECT_THAT(Short(DiffOf(edits, {"memory"})),
              ElementsAre("node %b: kernel cpu.silu -> cpu.other; origin some_pass -> other;"));
  EXPECT_TRUE(DiffOf(edits, {"memory", "kernel", "origin"}).empty());
}

TEST(Diff, EveryFieldOfADifferenceCanBeIgnored) {
  const GraphDiff diff = DiffOf({{"base", "other"},
                                 {"<= 8", "<= 4"},
                                 {"= silu", "= gelu"},
                                 {"2.0", "3.0"},
                                 {"some_pass", "other"},
                                 {" mem(act+0x0:128)", ""}});
  for (const Difference& difference : diff.differences) {
    for (const FieldChange& change : difference.fields) {
      EXPECT_THAT(DiffFields(), testing::Contains(absl::string_view(change.field)));
    }
  }
}

TEST(Diff, CountsOps) {
  const GraphDiff diff = DiffOf({{"%b = silu(", "%b = gelu("}, {" kernel(cpu.silu)", ""}});
  const std::string text = PrintOpCounts(diff);
  EXPECT_THAT(text, HasSubstr("gelu                     0       1      +1\n"));
  EXPECT_THAT(text, HasSubstr("silu                     1       0      -1\n"));
  EXPECT_THAT(text, HasSubstr("total                    4       4      +0\n"));
  EXPECT_THAT(text, Not(HasSubstr("matmul")));
}

TEST(Diff, ColoursOnlyOnRequestAndEscapesStrings) {
  const GraphDiff diff = DiffOf({{"cpu.silu", "\"\\033[2J\""}});
  EXPECT_THAT(Print(diff, true), HasSubstr("\x1b[33m~ %b\x1b[0m\n"));
  const std::string plain = Print(diff, false);
  EXPECT_THAT(plain, Not(HasSubstr("\x1b")));
  EXPECT_THAT(plain, HasSubstr("kernel     cpu.silu -> \"\\x1b[2J\"\n"));
}

// The exit code of `sluice diff` for two texts, as diff(1) has it.
int ExitCode(absl::string_view before, absl::string_view after) {
  const std::string folder = testing::TempDir();
  std::ofstream(folder + "/before.ir") << before;
  std::ofstream(folder + "/after.ir") << after;
  const std::string command = absl::StrCat(SLUICE_BINARY " diff '", folder, "/before.ir' - < '",
                                           folder, "/after.ir' > /dev/null 2>&1");
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(DiffCommand, EndsWith1WhereGraphsDiffer) {
  EXPECT_EQ(ExitCode(kBase, kBase), 0);
  EXPECT_EQ(ExitCode(kBase, absl::StrReplaceAll(kBase, {{"2.0", "3.0"}})), 1);
  EXPECT_EQ(ExitCode(kBase, "no graph"), 1);
}

}  // namespace
}  // namespace sluice
