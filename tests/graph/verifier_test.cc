// One broken graph for each thing that a rule of the verifier says.
#include "graph/verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "graph/text.h"
#include "tests/support/toy_ops.h"

namespace sluice {

// Breaks what Graph keeps right.
struct GraphTestPeer {
  static std::string& name(Value* value) { return value->name_; }
  static TensorType& type(Value* value) { return value->type_; }
  static Value::Kind& kind(Value* value) { return value->kind_; }
  static int& result_index(Value* value) { return value->result_index_; }
  static Node*& producer(Value* value) { return value->producer_; }
  static std::vector<Use>& uses(Value* value) { return value->uses_; }
  static auto& results(Node* node) { return node->results_; }
  static auto& operands(Node* node) { return node->operands_; }
  static Attributes& attrs(Node* node) { return node->attrs_; }
  static const OpDef*& op(Node* node) { return node->op_; }
  static auto& by_ref(Graph* graph) { return graph->by_ref_; }
  static auto& outputs(Graph* graph) { return graph->outputs_; }
  static auto& symbols(Graph* graph) { return graph->symbols_; }
};

namespace {

using Peer = GraphTestPeer;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

Graph ParseOrDie(absl::string_view text) {
  absl::StatusOr<Graph> graph = Parse(text, "text", &ToyOps());
  EXPECT_TRUE(graph.ok()) << graph.status();
  return graph.ok() ? *std::move(graph) : Graph("", &ToyOps());
}

std::string ErrorOf(const Graph& graph) { return std::string(Verify(graph).message()); }

std::string ErrorOf(absl::string_view lines) {
  const auto graph = Parse(absl::StrCat("graph g\nsymbol t <= 8\ninput %x : f32[t,4]\n", lines),
                           "text", &ToyOps());
  return std::string(graph.status().message());
}

// A graph to break: its values by their references.
class Verifier : public testing::Test {
 protected:
  Value* Find(absl::string_view ref) { return graph_.Find(ref); }
  Node* NodeOf(absl::string_view ref) { return graph_.Find(ref)->producer(); }

  Graph graph_ = ParseOrDie(R"(graph g
symbol t <= 8
input %x : f32[t,4]
weight @w : f32[4]
state %s : state<f32[2]>
%a = neg(%x) : f32[t,4]
%b = join(%a, @w, %x) : f32[t,4]
%c, %d = pair(%b) : f32[t,4], i32[t,4]
%o = opts(%d) {i=2} : i32[t,4]
%s1 = update(%s, %o) : state<f32[2]>
output %o
)");
};

std::vector<std::string> LinesOf(const std::string& text) { return absl::StrSplit(text, '\n'); }

TEST_F(Verifier, TellsTheFirstFaultOfEachNode) {
  Peer::uses(Find("%x")).clear();
  Peer::uses(Find("%b")).clear();
  EXPECT_THAT(LinesOf(ErrorOf(graph_)),
              ElementsAre(HasSubstr("%a = neg(%x) : f32[t,4]: operand 0 does not list"),
                          HasSubstr("%b = join(%a, @w, %x) : f32[t,4]: operand 2 does not list"),
                          HasSubstr("%c, %d = pair(%b) : f32[t,4], i32[t,4]: operand 0 does")));
}

// V6 of %o and V9 of %s1, in the graph's order; what V8 says of %o is left out.
TEST_F(Verifier, TellsFaultsOfSeveralRules) {
  graph_.SetAttr(NodeOf("%o"), "j", int64_t{3});
  Peer::type(Find("%o")).shape[1] = 5;
  Find("%a")->set_mem(MemSpan{"act", 4, 128});
  EXPECT_THAT(LinesOf(ErrorOf(graph_)),
              ElementsAre(AllOf(StartsWith("rule V11 "), HasSubstr("%a: is placed at")),
                          AllOf(StartsWith("rule V6 "), HasSubstr("has no attribute 'j'"))));
}

// The types of what reads a node with a wrong type are no faults of their own, unless it is
// another one that is wrong.
TEST_F(Verifier, LeavesOutWhatFollowsFromAnOperand) {
  Peer::type(Find("%a")).shape[1] = 5;
  Peer::type(Find("%o")).shape[1] = 6;
  EXPECT_THAT(LinesOf(ErrorOf(graph_)),
              ElementsAre(HasSubstr("%a has the type f32[t,5], but 'neg' gives f32[t,4]"),
                          HasSubstr("%o has the type i32[t,6], but 'opts' gives i32[t,4]")));
  // All of them are too large, as %x is.
  Peer::type(Find("%a")).shape[1] = 4;
  Peer::type(Find("%o")).shape[1] = 4;
  ASSERT_TRUE(graph_.SetBound("t", std::numeric_limits<int64_t>::max()).ok());
  EXPECT_THAT(LinesOf(ErrorOf(graph_)), ElementsAre(StartsWith("rule V7 (types are sound): %x: ")));
}

TEST_F(Verifier, TellsSomeOfManyFaults) {
  std::string lines;
  for (int i = 0; i < 23; ++i) {
    absl::StrAppend(&lines, "%a", i, " = neg(%x) : f32[t,4] mem(act+0x4:128)\n");
  }
  const std::vector<std::string> told = LinesOf(ErrorOf(lines));
  ASSERT_EQ(told.size(), 21);
  EXPECT_THAT(told[0], StartsWith("text:4:1: rule V11 "));
  EXPECT_THAT(told[19], StartsWith("text:23:1: rule V11 "));
  EXPECT_EQ(told[20], "and 3 more");
}

TEST_F(Verifier, AcceptsAGraph) { EXPECT_EQ(ErrorOf(graph_), ""); }

TEST_F(Verifier, V1NameIsWellFormed) {
  graph_.Rename(Find("%a"), "a b");
  EXPECT_EQ(ErrorOf(graph_),
            "rule V1 (names are unique and known to the graph): %a b: the name is 'a b', expected "
            "letters, digits, . _ -");
}

TEST_F(Verifier, V1NameIsUnique) {
  Peer::name(Find("%a")) = "b";
  EXPECT_THAT(ErrorOf(graph_), AllOf(StartsWith("rule V1 "), EndsWith("has this name, too")));
}

TEST_F(Verifier, V1NameIsKnown) {
  Peer::by_ref(&graph_).erase("@w");
  EXPECT_THAT(ErrorOf(graph_), HasSubstr("@w: the graph does not find it by this name"));
}

TEST_F(Verifier, V2SourcesAreOfTheirKind) {
  Graph graph = ParseOrDie("graph g\ninput %x : f32[2]\n");
  Peer::kind(graph.Find("%x")) = Value::Kind::kResult;
  EXPECT_EQ(ErrorOf(graph),
            "rule V2 (sources and results are where they belong): %x: is among the inputs but is "
            "of another kind");
}

TEST_F(Verifier, V2SourcesHaveNoProducer) {
  Peer::producer(Find("%x")) = NodeOf("%a");
  EXPECT_THAT(ErrorOf(graph_), AllOf(StartsWith("rule V2 "), HasSubstr("has a producer")));
}

TEST_F(Verifier, V2OnlyStatesHaveStateTypes) {
  Peer::type(Find("@w")).is_state = true;
  EXPECT_THAT(ErrorOf(graph_), AllOf(StartsWith("rule V2 "),
                                     EndsWith("the weights but has the type state<f32[4]>")));
}

TEST_F(Verifier, V2NodesHaveAllResults) {
  Peer::by_ref(&graph_).erase("%d");
  Peer::results(NodeOf("%c")).pop_back();
  EXPECT_THAT(ErrorOf(graph_), EndsWith("graph: a node of 'pair' has 1 results, expected 2"));
}

TEST_F(Verifier, V2ResultsKnowTheirPlace) {
  Peer::result_index(Find("%d")) = 0;
  EXPECT_THAT(ErrorOf(graph_), EndsWith("%d: does not know that it is result 1 of 'pair'"));
}

TEST_F(Verifier, V2OpsAreRegistered) {
  const OpDef stranger = NodeOf("%a")->op();
  Peer::op(NodeOf("%a")) = &stranger;
  EXPECT_THAT(ErrorOf(graph_), EndsWith("%a: 'neg' is no op of the graph's registry"));
}

TEST_F(Verifier, V3SymbolsAreDeclaredOnceWithABound) {
  Peer::symbols(&graph_)[0].bound = 0;
  EXPECT_EQ(ErrorOf(graph_),
            "rule V3 (symbols are declared): graph: symbol 't' has the bound 0, expected at least "
            "1");
  Peer::symbols(&graph_)[0].bound = 1;
  Peer::symbols(&graph_).push_back({"t", 2});
  EXPECT_THAT(ErrorOf(graph_), EndsWith("symbol 't' is declared twice"));
  Peer::symbols(&graph_).back().name = "2";
  EXPECT_THAT(ErrorOf(graph_), EndsWith("'2' is no name for a symbol"));
}

TEST_F(Verifier, V3AttributesUseDeclaredSymbols) {
  graph_.SetAttr(NodeOf("%o"), "shape", Shape{Dim::Symbol("u")});
  EXPECT_THAT(ErrorOf(graph_), AllOf(StartsWith("rule V3 "), HasSubstr("%o"), HasSubstr("'u'")));
}

TEST_F(Verifier, V3AttributesOfTheGraphUseNone) {
  graph_.SetAttr("shape", Shape{Dim::Symbol("t")});
  EXPECT_THAT(ErrorOf(graph_), AllOf(StartsWith("rule V3 "), EndsWith("expected constants")));
}

TEST_F(Verifier, V4OperandsComeFirst) {
  graph_.Move(NodeOf("%c"), NodeOf("%a"));
  EXPECT_EQ(ErrorOf(graph_),
            "rule V4 (operands come before their users): %c: operand 0 of 'pair' is %b, which is "
            "not defined before");
}

TEST_F(Verifier, V4CyclesAreRefused) {
  graph_.ReplaceUses(Find("%x"), Find("%b"));
  EXPECT_THAT(ErrorOf(graph_), AllOf(StartsWith("rule V4 "), HasSubstr("not defined before")));
}

TEST_F(Verifier, V4OperandsBelongToTheGraph) {
  {
    const Graph other = graph_.Clone();
    Peer::operands(NodeOf("%c"))[0] = other.Find("%b");
  }  // it dangles now
  EXPECT_THAT(ErrorOf(graph_), EndsWith("%c: operand 0 of 'pair' is no value of this graph"));
}

TEST_F(Verifier, V5EveryOperandIsAUse) {
  Peer::uses(Find("%a")).clear();
  EXPECT_EQ(ErrorOf(graph_),
            "rule V5 (use lists mirror operands): %b = join(%a, @w, %x) : f32[t,4]: operand 0 does "
            "not list this node among its uses");
}

TEST_F(Verifier, V5EveryUseIsAnOperand) {
  Peer::uses(Find("%a")).push_back({NodeOf("%b"), 1});
  EXPECT_THAT(ErrorOf(graph_), AllOf(StartsWith("rule V5 "), HasSubstr("as operand 1 of %b = ")));
  Peer::uses(Find("%a")).back() = {NodeOf("%b"), 0};
  EXPECT_THAT(ErrorOf(graph_), EndsWith("twice"));
  Peer::uses(Find("%a")).back() = {NodeOf("%b"), -1};
  EXPECT_THAT(ErrorOf(graph_), EndsWith("which it is not"));
  const Graph other = graph_.Clone();
  Peer::uses(Find("%a")).back() = {other.nodes()[0].get(), 0};
  EXPECT_THAT(ErrorOf(graph_), EndsWith("is used by a node that is gone"));
}

TEST_F(Verifier, V6OperandsFitTheOp) {
  graph_.SetOperand(NodeOf("%b"), 0, nullptr);
  EXPECT_EQ(ErrorOf(graph_),
            "rule V6 (operands and attributes fit the op): %b = join(_, @w, %x) : f32[t,4]: "
            "'join': operand 0 (a) is required but left out");
}

TEST_F(Verifier, V6AbsentOperandsAtTheEndAreNotStored) {
  graph_.SetOperand(NodeOf("%b"), 2, nullptr);
  EXPECT_THAT(ErrorOf(graph_), EndsWith("the last operand is absent, expected a shorter list"));
}

TEST_F(Verifier, V6AttributesFitTheOp) {
  graph_.SetAttr(NodeOf("%o"), "i", 1.5);
  EXPECT_THAT(ErrorOf(graph_), AllOf(StartsWith("rule V6 "), HasSubstr("expected a int")));
  graph_.SetAttr(NodeOf("%o"), "i", int64_t{3});
  graph_.SetAttr(NodeOf("%o"), "j", int64_t{3});
  EXPECT_THAT(ErrorOf(graph_), HasSubstr("has no attribute 'j'"));
}

TEST_F(Verifier, V6DefaultsAreNotStored) {
  Peer::attrs(NodeOf("%o")).Set("i", int64_t{1});
  EXPECT_THAT(ErrorOf(graph_), EndsWith("attribute 'i' is stored but has its default value"));
}

TEST_F(Verifier, V7TypesAreSound) {
  const auto error_with = [&](const TensorType& type) {
    Peer::type(Find("%x")) = type;
    return ErrorOf(graph_);
  };
  EXPECT_EQ(error_with({DType::kF32, {0}}),
            "rule V7 (types are sound): %x: f32[0]: the dimension 0 is not positive");
  EXPECT_THAT(error_with({DType::kF32, {Dim::Symbol("u")}}), EndsWith("no symbol 'u'"));
  EXPECT_THAT(error_with({DType::kF32, {1, 1, 1, 1, 1, 1, 1}}), EndsWith("expected at most 6"));
  EXPECT_THAT(error_with({DType::kQ8_0, {31}}), HasSubstr("not a multiple of the 32"));
}

TEST_F(Verifier, V7SizesFitAtTheBounds) {
  ASSERT_TRUE(graph_.SetBound("t", std::numeric_limits<int64_t>::max()).ok());
  EXPECT_THAT(ErrorOf(graph_), AllOf(StartsWith("rule V7 "), HasSubstr("overflows")));
}

TEST_F(Verifier, V8TypesAreTheInferredOnes) {
  Peer::type(Find("%b")).shape[1] = 5;
  EXPECT_EQ(ErrorOf(graph_),
            "rule V8 (result types are the inferred ones): %b = join(%a, @w, %x) : f32[t,5]: %b "
            "has the type f32[t,5], but 'join' gives f32[t,4]");
}

TEST_F(Verifier, V8TypesCanBeInferred) {
  Graph graph = ParseOrDie("graph g\ninput %x : f32[2]\n%y = fickle(%x) : f32[2]\n");
  graph.SetAttr(graph.nodes()[0].get(), "i", int64_t{1});
  EXPECT_THAT(ErrorOf(graph), AllOf(StartsWith("rule V8 "), EndsWith("changed its mind")));
}

TEST_F(Verifier, V9NothingIsReadAfterItsUpdate) {
  EXPECT_EQ(ErrorOf("state %s : state<f32[2]>\n"
                    "%s1 = update(%s, %x) : state<f32[2]>\n"
                    "%y = join(%x, %s) : f32[t,4]\n"),
            "text:6:1: rule V9 (nothing is read after its update in place): %y = join(%x, %s) : "
            "f32[t,4]: reads %s after its update in place by %s1 = update(%s, %x) : state<f32[2]>");
  EXPECT_EQ(ErrorOf("state %s : state<f32[2]>\n"
                    "%y = join(%x, %s) : f32[t,4]\n"
                    "%s1 = update(%s, %x) : state<f32[2]>\n"
                    "%s2 = update(%s1, %x) : state<f32[2]>\n"
                    "%z = join(%x, %s2) : f32[t,4]\n"),
            "");
}

TEST_F(Verifier, V9NothingIsUpdatedTwice) {
  EXPECT_THAT(ErrorOf("state %s : state<f32[2]>\n"
                      "%s1 = update(%s, %x) : state<f32[2]>\n"
                      "%s2 = update(%s, %x) : state<f32[2]>\n"),
              HasSubstr("%s2 = update(%s, %x) : state<f32[2]>: reads %s after"));
  EXPECT_THAT(ErrorOf("%a = neg(%x) : f32[t,4]\n"
                      "%b, %c = bump_both(%a, %a) : f32[t,4], f32[t,4]\n"),
              EndsWith("updates %a in place twice"));
}

TEST_F(Verifier, V9ViewsAreReadsToo) {
  EXPECT_THAT(ErrorOf("%a = neg(%x) : f32[t,4]\n"
                      "%v = view(%a) {to=[t*4]} : f32[t*4]\n"
                      "%b = bump(%a) : f32[t,4]\n"
                      "%c = neg(%v) : f32[t*4]\n"),
              HasSubstr("reads %v after its update in place by %b = "));
  EXPECT_EQ(ErrorOf("%a = neg(%x) : f32[t,4]\n"
                    "%v = view(%a) {to=[t*4]} : f32[t*4]\n"
                    "%b = bump(%v) : f32[t*4]\n"
                    "%c = neg(%b) : f32[t*4]\n"),
            "");
}

TEST_F(Verifier, V9SourcesButStatesAreConstant) {
  EXPECT_THAT(ErrorOf("%a = bump(%x) : f32[t,4]\n"), HasSubstr("updates %x in place, expected a "));
  EXPECT_THAT(ErrorOf("weight @w : f32[2]\n%a = bump(@w) : f32[2]\n"), HasSubstr("updates @w"));
}

TEST_F(Verifier, V9OutputsAreNotUpdated) {
  EXPECT_THAT(ErrorOf("%a = neg(%x) : f32[t,4]\n%b = bump(%a) : f32[t,4]\noutput %a\n"),
              AllOf(HasSubstr("rule V9 "), EndsWith("updates an output of the graph in place")));
}

TEST_F(Verifier, V9StatesStemFromStates) {
  EXPECT_THAT(ErrorOf("%a = fork(%x) : state<f32[t,4]>\n"),
              EndsWith("%a is a state, but the op updates none to make it"));
  EXPECT_THAT(ErrorOf("state %s : state<f32[2]>\n%v = neg(%s) : state<f32[2]>\n"),
              EndsWith("%v is a state, but the op updates none to make it"));
}

TEST_F(Verifier, V10OutputsAreResults) {
  Peer::outputs(&graph_)[0] = Find("%x");
  EXPECT_EQ(ErrorOf(graph_),
            "rule V10 (outputs are distinct tensor results): graph: an output is no result of a "
            "node");
}

TEST_F(Verifier, V10OutputsAreTensors) {
  Peer::outputs(&graph_).push_back(Find("%s1"));
  EXPECT_THAT(ErrorOf(graph_), EndsWith("%s1 is an output, expected a tensor and no state"));
}

TEST_F(Verifier, V10OutputsAreDistinct) {
  Peer::outputs(&graph_).push_back(Find("%o"));
  EXPECT_THAT(ErrorOf(graph_), EndsWith("%o is an output twice"));
}

TEST_F(Verifier, V11PlacesAreRanges) {
  Find("%a")->set_mem(MemSpan{"act", -64, 128});
  EXPECT_EQ(ErrorOf(graph_),
            "rule V11 (places in memory are sound): %a = neg(%x) : f32[t,4] mem(act-0x40:128): "
            "%a: is placed at the offset -64 with 128 bytes, expected a range from 0 on");
  Find("%a")->set_mem(MemSpan{"act", std::numeric_limits<int64_t>::max(), 128});
  EXPECT_THAT(ErrorOf(graph_), EndsWith("expected a range from 0 on"));
}

// Also where it makes a place overlap another: the neighbour is right.
TEST_F(Verifier, V11PlacesAreAligned) {
  Find("%a")->set_mem(MemSpan{"act", 4, 128});
  Find("%b")->set_mem(MemSpan{"act", 128, 128});
  EXPECT_THAT(ErrorOf(graph_), EndsWith("%a: is placed at the offset 0x4, expected a multiple of "
                                        "64"));
}

TEST_F(Verifier, V11PlacesAreLargeEnough) {
  Find("%a")->set_mem(MemSpan{"act", 0, 127});
  EXPECT_THAT(ErrorOf(graph_),
              EndsWith("has a place of 127 bytes, but f32[t,4] takes 128 at the symbols' bounds"));
}

TEST_F(Verifier, V11WhatLivesTogetherDoesNotOverlap) {
  Find("%a")->set_mem(MemSpan{"act", 64, 128});
  Find("%b")->set_mem(MemSpan{"act", 0, 128});  // %a is read by the node of %b
  EXPECT_THAT(ErrorOf(graph_),
              EndsWith("%b: has 128 bytes at act+0x0, where %a still has 128 bytes at act+0x40"));
  Find("%b")->set_mem(MemSpan{"act", 128, 128});
  EXPECT_THAT(ErrorOf(graph_),
              EndsWith("%b: has 128 bytes at act+0x80, where %a still has 128 bytes at act+0x40"));
  Find("%b")->set_mem(MemSpan{"act", 192, 128});
  EXPECT_EQ(ErrorOf(graph_), "");
  Find("%b")->set_mem(MemSpan{"other", 64, 128});
  EXPECT_EQ(ErrorOf(graph_), "");
  Find("%b")->set_mem({});
  Find("%c")->set_mem(MemSpan{"act", 64, 128});  // %a is dead
  EXPECT_EQ(ErrorOf(graph_), "");
  Find("%d")->set_mem(MemSpan{"act", 64, 128});  // a result of the same node
  EXPECT_THAT(ErrorOf(graph_), HasSubstr("rule V11 "));
}

// %b is older than %c, and in its way and in that of %a: so it is %b that is wrong.
TEST_F(Verifier, V11IsBrokenByWhatOverlapsMost) {
  constexpr char kText[] =
      "%a = neg(%x) : f32[t,4] mem(act+0x0:128)\n"
      "%b = neg(%x) : f32[t,4] mem(act+$0:128)\n"
      "%c = neg(%x) : f32[t,4] mem(act+0x80:128)\n"
      "%d = neg(%a) : f32[t,4]\n%e = neg(%b) : f32[t,4]\n%f = neg(%c) : f32[t,4]\n";
  const auto error_with = [&](absl::string_view place) {
    return ErrorOf(absl::StrReplaceAll(kText, {{"$0", place}}));
  };
  EXPECT_EQ(error_with("0x100"), "");
  EXPECT_THAT(error_with("0x40"),
              EndsWith("%b: has 128 bytes at act+0x40, where %a still has 128 bytes at act+0x0"));
  EXPECT_THAT(error_with("0xc0"),
              EndsWith("%c: has 128 bytes at act+0x80, where %b still has 128 bytes at act+0xc0"));
  // %a, the oldest, over all of the others.
  EXPECT_THAT(ErrorOf("%a = neg(%x) : f32[t,4] mem(act+0x0:384)\n"
                      "%b = neg(%x) : f32[t,4] mem(act+0x80:128)\n"
                      "%c = neg(%x) : f32[t,4] mem(act+0x100:128)\n"
                      "%d = neg(%a) : f32[t,4]\n%e = neg(%b) : f32[t,4]\n%f = neg(%c) : "
                      "f32[t,4]\n"),
              EndsWith("%a: has 384 bytes at act+0x0, where %b will have 128 bytes at act+0x80"));
}

// One that is in the way of two is told once; the two are not.
TEST_F(Verifier, V11OverlapsAreToldOfWhatIsWrong) {
  const std::vector<std::string> told =
      LinesOf(ErrorOf("%a = neg(%x) : f32[t,4] mem(act+0x0:384)\n"
                      "%b = neg(%x) : f32[t,4] mem(act+0x80:128)\n"
                      "%c = neg(%x) : f32[t,4] mem(act+0x100:128)\n"
                      "%d = neg(%x) : f32[t,4] mem(act+0x100:128)\n"
                      "%e = pack(%a, %b, %c, %d) : f32[t,4]\n"));
  EXPECT_THAT(told, ElementsAre(EndsWith("where %b will have 128 bytes at act+0x80"),
                                EndsWith("%d: has 128 bytes at act+0x100, where %c still has 128 "
                                         "bytes at act+0x100")));
}

TEST_F(Verifier, V11OutputsAndSourcesLiveToTheEnd) {
  constexpr char kText[] =
      "%a = neg(%x) : f32[t,4] mem(act+0x0:128)\n"
      "%b = neg(%x) : f32[t,4] mem(act+0x0:128)\n";
  EXPECT_EQ(ErrorOf(kText), "");
  EXPECT_THAT(ErrorOf(absl::StrCat(kText, "output %a\n")), HasSubstr("rule V11 "));
  EXPECT_THAT(ErrorOf("weight @w : f32[2] mem(act+0x0:8)\n"
                      "%a = neg(@w) : f32[2]\n"
                      "%b = neg(%x) : f32[t,4] mem(act+0x0:128)\n"),
              HasSubstr("%b: has 128 bytes at act+0x0, where @w still has 8 bytes"));
}

TEST_F(Verifier, V11ViewsAndUpdatesShareTheirPlace) {
  const auto error_with = [&](absl::string_view place) {
    return ErrorOf(
        absl::StrCat("%a = neg(%x) : f32[t,4] mem(act+0x0:128)\n"
                     "%v = view(%a) {to=[t*4]} : f32[t*4] mem(act+",
                     place,
                     ":128)\n"
                     "%b = neg(%x) : f32[t,4] mem(act+0x80:128)\n"
                     "%c = bump(%v) : f32[t*4] mem(act+0x0:128)\n"));
  };
  EXPECT_EQ(error_with("0x0"), "");
  EXPECT_THAT(error_with("0x80"), EndsWith("%v: shares the storage of %a but has another place"));
  EXPECT_THAT(ErrorOf("%a = neg(%x) : f32[t,4] mem(act+0x0:128)\n"
                      "%v = view(%a) {to=[t*4]} : f32[t*4]\n"
                      "%b = neg(%x) : f32[t,4] mem(act+0x0:128)\n"
                      "%c = neg(%v) : f32[t*4]\n"),
              HasSubstr("%b: has 128 bytes at act+0x0, where %a still has"));
}

// %z may stand where %a was if %a's storage ends there, and is used by that node once.
TEST_F(Verifier, V11ResultsTakeThePlaceOfDeadOperands) {
  const auto error_with = [&](absl::string_view operands, absl::string_view place,
                              absl::string_view later) {
    return ErrorOf(absl::StrCat(
        "%a = neg(%x) : f32[t,4] mem(act+0x0:128)\n%b = neg(%x) : f32[t,4] mem(act+0x80:128)\n",
        "%z = over(", operands, ") : f32[t,4] mem(act+", place, ":128)\n", later));
  };
  EXPECT_EQ(error_with("%a, %b", "0x0", "%c = neg(%b) : f32[t,4]\n"), "");
  EXPECT_THAT(error_with("%a, %b", "0x0", "%c = neg(%a) : f32[t,4]\n"),
              HasSubstr("%z: has 128 bytes at act+0x0, where %a still has"));
  EXPECT_THAT(error_with("%a, %b", "0x80", ""),  // not the operand that the op names
              HasSubstr("%z: has 128 bytes at act+0x80, where %b still has"));
  EXPECT_THAT(error_with("%a, %a", "0x0", ""), HasSubstr("where %a still has"));
  EXPECT_THAT(error_with("%a, %b", "0x40", ""), HasSubstr("rule V11 "));
  // The place is taken over: nobody else may have it while %z lives.
  EXPECT_THAT(error_with("%a, %b", "0x0",
                         "%c = neg(%b) : f32[t,4] mem(act+0x0:128)\n%d = neg(%z) : f32[t,4]\n"),
              HasSubstr("%c: has 128 bytes at act+0x0, where %z still has"));
}

TEST_F(Verifier, V11ScratchLivesWhileItsNodeRuns) {
  const auto error_with = [&](absl::string_view scratch) {
    return ErrorOf(absl::StrCat("%a = neg(%x) : f32[t,4] mem(act+0x0:128)\n",
                                "%b = neg(%a) : f32[t,4] mem(act+0x80:128) scratch(", scratch,
                                ")\n%c = neg(%b) : f32[t,4] mem(act+0x100:128)\n"));
  };
  EXPECT_EQ(error_with("act+0x100:64"), "");                       // where %c will be
  EXPECT_THAT(error_with("act+0x0:64"), HasSubstr("rule V11 "));   // the operand
  EXPECT_THAT(error_with("act+0xc0:64"), HasSubstr("rule V11 "));  // the result
  EXPECT_THAT(error_with("act+0x7fffffffffffffff:64"), EndsWith("expected a range from 0 on"));
}

TEST_F(Verifier, V11ConstantsStay) {
  constexpr char kText[] =
      "weight @w : f32[t,4]\n"
      "%a = neg(%x) : f32[t,4] mem(act+0x0:128)\n"
      "%k = neg(@w) : f32[t,4] mem(act+0x0:128)";
  EXPECT_EQ(ErrorOf(absl::StrCat(kText, "\n")), "");
  EXPECT_THAT(ErrorOf(absl::StrCat(kText, " once\n")),
              HasSubstr("%a: has 128 bytes at act+0x0, where %k still has"));
}

TEST_F(Verifier, V13WhatRunsOnceDependsOnWeights) {
  EXPECT_EQ(ErrorOf("weight @w : f32[4]\n"
                    "%a = neg(@w) : f32[4] once\n%b = over(%a, @w) : f32[4] once\n"),
            "");
  EXPECT_THAT(ErrorOf("%a = neg(%x) : f32[t,4] once\n"),
              EndsWith("runs once but reads %x, expected a weight or the result of a node that "
                       "runs once"));
  EXPECT_THAT(ErrorOf("weight @w : f32[4]\n"
                      "%a = neg(@w) : f32[4]\n%b = neg(%a) : f32[4] once\n"),
              HasSubstr("rule V13 "));
  Find("%a")->set_layout("x8");
  EXPECT_THAT(ErrorOf(graph_), EndsWith("%a: has a layout, expected one of weights only"));
}

TEST_F(Verifier, V12TextsAreUtf8) {
  for (const std::string bad :
       {"\x80", "\xC0\x80", "\xC3", "\xC3(", "\xE0\x9F\x80", "\xED\xA0\x80", "\xE4\xB8",
        "\xF0\x8F\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"}) {
    Graph graph(bad, &ToyOps());
    EXPECT_THAT(ErrorOf(graph), StartsWith("rule V12 ")) << testing::PrintToString(bad);
  }
  for (const std::string good : {"\x7F", "\xC2\x80", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                                 "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(ErrorOf(Graph(good, &ToyOps())), "") << testing::PrintToString(good);
  }
  NodeOf("%a")->set_kernel("\xFF");
  EXPECT_THAT(ErrorOf(graph_),
              EndsWith("the name of its device, kernel, pass or scratch is no UTF-8"));
  NodeOf("%a")->set_kernel("");
  NodeOf("%a")->set_origin("\xFF");
  EXPECT_THAT(ErrorOf(graph_),
              EndsWith("the name of its device, kernel, pass or scratch is no UTF-8"));
  NodeOf("%a")->set_origin("");
  graph_.SetAttr(NodeOf("%o"), "s", std::string("\xFF"));
  EXPECT_THAT(ErrorOf(graph_), EndsWith("attribute 's' is no UTF-8"));
  graph_.SetAttr(NodeOf("%o"), "s", std::string("\xC3\xA9"));
  EXPECT_EQ(ErrorOf(graph_), "");
  Find("%a")->set_mem(MemSpan{"\xFF", 0, 128});
  EXPECT_THAT(ErrorOf(graph_), EndsWith("its memory region or layout is no UTF-8"));
}

TEST_F(Verifier, V12AttributesCanBeWritten) {
  Graph graph("g", &ToyOps());
  graph.SetAttr("a b", int64_t{1});
  EXPECT_THAT(ErrorOf(graph), EndsWith("an attribute is called 'a b'"));
  graph_.SetAttr("deep", Shape(kMaxRank + 1, 1));
  EXPECT_THAT(ErrorOf(graph_), EndsWith("attribute 'deep' has 7 dimensions, expected at most 6"));
}

TEST_F(Verifier, V12ListsKeepToTheirLimits) {
  Graph many_attrs("g", &ToyOps());
  for (size_t i = 0; i <= kMaxAttributes; ++i) many_attrs.SetAttr(absl::StrCat("a", i), true);
  EXPECT_THAT(ErrorOf(many_attrs), EndsWith("257 attributes, expected at most 256"));
  for (size_t i = 0; i < kMaxSymbols; ++i) {
    Peer::symbols(&graph_).push_back({absl::StrCat("s", i), 1});
  }
  EXPECT_THAT(ErrorOf(graph_), HasSubstr("33 symbols and 1 outputs, expected at most 32 and"));
}

}  // namespace
}  // namespace sluice
