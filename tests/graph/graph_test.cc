// Graph, types and attributes: construction, mutation, use lists, names.
#include "graph/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "graph/text.h"
#include "graph/verifier.h"
#include "tests/support/toy_ops.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::EndsWith;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

std::string ErrorOf(const absl::Status& status) { return std::string(status.message()); }
template <typename T>
std::string ErrorOf(const absl::StatusOr<T>& result) {
  return ErrorOf(result.status());
}

// --- Dimensions and types -------------------------------------------------------------------

TEST(Dim, PrintsAsInText) {
  EXPECT_EQ(Dim(2048).ToString(), "2048");
  EXPECT_EQ(Dim::Symbol("tokens").ToString(), "tokens");
  EXPECT_EQ(Dim::Symbol("tokens", 8).ToString(), "tokens*8");
  EXPECT_EQ(ToString(Shape{Dim::Symbol("t", 2), 3}), "[t*2,3]");
  EXPECT_EQ(ToString(Shape{}), "[]");
}

TEST(Dim, ProductOfOneSymbolAtMost) {
  EXPECT_EQ(*Dim::Product(6, 7), Dim(42));
  EXPECT_EQ(*Dim::Product(Dim::Symbol("t", 2), 8), Dim::Symbol("t", 16));
  EXPECT_EQ(*Dim::Product(8, Dim::Symbol("t", 2)), Dim::Symbol("t", 16));
  EXPECT_THAT(ErrorOf(Dim::Product(Dim::Symbol("t"), Dim::Symbol("t"))),
              EndsWith("a product of symbols has no dimension"));
  EXPECT_THAT(ErrorOf(Dim::Product(kMax, 2)), EndsWith("overflows 64 bits"));
}

TEST(Dim, QuotientHasNoRemainder) {
  EXPECT_EQ(*Dim::Quotient(Dim::Symbol("t", 16), 8), Dim::Symbol("t", 2));
  EXPECT_THAT(ErrorOf(Dim::Quotient(Dim::Symbol("t"), 2)), EndsWith("is not a multiple of 2"));
  EXPECT_THAT(ErrorOf(Dim::Quotient(6, 0)), EndsWith("is not a multiple of 0"));
}

TEST(Dim, ElementCount) {
  EXPECT_EQ(*ElementCount({}), Dim(1));
  EXPECT_EQ(*ElementCount({2, Dim::Symbol("t", 3), 5}), Dim::Symbol("t", 30));
  EXPECT_FALSE(ElementCount({Dim::Symbol("t"), Dim::Symbol("u")}).ok());
}

TEST(TensorType, PrintsAsInText) {
  EXPECT_EQ((TensorType{DType::kQ4_K, {2, 256}}).ToString(), "q4_k[2,256]");
  EXPECT_EQ((TensorType{DType::kF16, {2}, /*is_state=*/true}).ToString(), "state<f16[2]>");
}

TEST(SymbolValues, Evaluate) {
  SymbolValues values;
  values.Set("t", 5);
  values.Set("t", 6);
  EXPECT_EQ(values.Get("t"), 6);
  EXPECT_EQ(values.Get("u"), -1);
  EXPECT_EQ(*values.Evaluate(Dim::Symbol("t", 7)), 42);
  EXPECT_THAT(*values.Evaluate(Shape{Dim::Symbol("t"), 3}), ElementsAre(6, 3));
  EXPECT_THAT(ErrorOf(values.Evaluate(Dim::Symbol("u"))), HasSubstr("'u' has no value"));
  EXPECT_THAT(ErrorOf(values.Evaluate(Dim::Symbol("t", kMax))), HasSubstr("overflows"));
}

TEST(SymbolValues, EvaluateBytes) {
  SymbolValues values;
  values.Set("t", 6);
  EXPECT_EQ(*values.EvaluateBytes({DType::kF32, {Dim::Symbol("t"), 2}}), 48);
  EXPECT_EQ(*values.EvaluateBytes({DType::kF32, {}}), 4);
  EXPECT_EQ(*values.EvaluateBytes({DType::kQ4_0, {2, 64}}), 2 * 2 * 18);
  EXPECT_THAT(ErrorOf(values.EvaluateBytes({DType::kF32, {kMax, 2}})), HasSubstr("overflows"));
  EXPECT_THAT(ErrorOf(values.EvaluateBytes({DType::kF32, {kMax}})), HasSubstr("overflows"));
}

// --- Attributes -----------------------------------------------------------------------------

TEST(Attributes, AreSortedAndUnique) {
  Attributes attrs{{"b", int64_t{1}}, {"a", 1.0}};
  attrs.Set("c", true);
  attrs.Set("b", std::string("x"));
  EXPECT_EQ(attrs.ToString(), "{a=1.0, b=x, c=true}");
  EXPECT_EQ(attrs.size(), 3u);
  attrs.Erase("b");
  EXPECT_EQ(attrs.Find("b"), nullptr);
  EXPECT_EQ(attrs, (Attributes{{"c", true}, {"a", 1.0}}));
  EXPECT_EQ(Attributes().ToString(), "");
}

TEST(Attributes, PrintUnambiguously) {
  const auto printed = [](const AttrValue& value) { return ToString(value); };
  EXPECT_EQ(printed(int64_t{1}), "1");
  EXPECT_EQ(printed(1.0), "1.0");
  EXPECT_EQ(printed(1e-6), "1e-06");
  EXPECT_EQ(printed(1e300), "1e+300");
  EXPECT_EQ(printed(-std::numeric_limits<double>::infinity()), "-inf");
  EXPECT_EQ(printed(std::numeric_limits<double>::quiet_NaN()), "nan");
  EXPECT_EQ(printed(std::string("silu")), "silu");
  EXPECT_EQ(printed(std::string("true")), "\"true\"");
  EXPECT_EQ(printed(std::string("1e5")), "\"1e5\"");
  EXPECT_EQ(printed(std::string("a\nb")), "\"a\\nb\"");
  EXPECT_EQ(printed(Shape{Dim::Symbol("t"), 2}), "[t,2]");
}

TEST(Attributes, ShortestDoubleConvertsBack) {
  EXPECT_EQ(ShortestDouble(1e-6f), 1e-6);
  EXPECT_EQ(ShortestDouble(0.1f), 0.1);
  for (const float value : {1e-6f, 0.1f, 3.4e38f, 1e-45f, -2.5f}) {
    EXPECT_EQ(static_cast<float>(ShortestDouble(value)), value);
  }
  EXPECT_EQ(ShortestDouble(std::numeric_limits<float>::infinity()),
            std::numeric_limits<double>::infinity());
}

// --- Construction ---------------------------------------------------------------------------

TEST(Graph, SymbolsAreCheckedAndBounded) {
  Graph graph("g", &ToyOps());
  EXPECT_TRUE(graph.AddSymbol("t", 8).ok());
  EXPECT_THAT(ErrorOf(graph.AddSymbol("t", 8)), EndsWith("declared twice"));
  EXPECT_THAT(ErrorOf(graph.AddSymbol("8t", 8)), HasSubstr("no name for a symbol"));
  EXPECT_THAT(ErrorOf(graph.AddSymbol("u", 0)), EndsWith("expected at least 1"));
  EXPECT_THAT(ErrorOf(graph.SetBound("u", 1)), EndsWith("no symbol 'u'"));
  EXPECT_TRUE(graph.SetBound("t", 4).ok());
  EXPECT_EQ(graph.Bounds().Get("t"), 4);
  EXPECT_EQ(graph.symbols().size(), 1u);
  for (size_t i = 1; i < kMaxSymbols; ++i) {
    EXPECT_TRUE(graph.AddSymbol(absl::StrCat("s", i), 1).ok());
  }
  EXPECT_THAT(ErrorOf(graph.AddSymbol("last", 1)), HasSubstr("one too many"));
}

TEST(Graph, SourcesAreFoundByReference) {
  Graph graph("g", &ToyOps());
  Value* input = *graph.AddInput("x", {DType::kF32, {2}});
  Value* weight = *graph.AddWeight("x", {DType::kF32, {2}});  // another name space
  Value* state = *graph.AddState("s", {DType::kF32, {2}, true});
  EXPECT_EQ(graph.Find("%x"), input);
  EXPECT_EQ(graph.Find("@x"), weight);
  EXPECT_EQ(graph.Find("%s"), state);
  EXPECT_EQ(graph.Find("x"), nullptr);
  EXPECT_EQ(weight->ref(), "@x");
  EXPECT_EQ(input->producer(), nullptr);
}

TEST(Graph, SourcesAreChecked) {
  Graph graph("g", &ToyOps());
  const TensorType type{DType::kF32, {2}};
  EXPECT_TRUE(graph.AddInput("x", type).ok());
  EXPECT_EQ(ErrorOf(graph.AddState("x", {DType::kF32, {2}, true})), "%x is defined twice");
  EXPECT_THAT(ErrorOf(graph.AddInput("", type)), HasSubstr("no name for a value"));
  EXPECT_THAT(ErrorOf(graph.AddInput("a b", type)), HasSubstr("no name for a value"));
  EXPECT_THAT(ErrorOf(graph.AddState("s", type)), HasSubstr("only states are state<...>"));
  EXPECT_THAT(ErrorOf(graph.AddWeight("w", {DType::kF32, {Dim::Symbol("t")}})),
              EndsWith("no symbol 't'"));
  EXPECT_EQ(graph.Find("@w"), nullptr);
}

// A graph with a chain and a second user: %x -> %a -> %b, %c; %c has two results.
class GraphMutation : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<Graph> graph = Parse(R"(graph g {layers=1}
symbol t <= 8
input %x : f32[t]
weight @w : f32[2]
state %s : state<f32[2]>
%a = join(%x, _, @w) : f32[t]
%b = opts(%a) {i=2} : f32[t] kernel("k") mem(act+0x0:32) by(p)
%c, %d = pair(%a) : f32[t], i32[t]
output %b
output %c
)",
                                        "text", &ToyOps());
    ASSERT_TRUE(graph.ok()) << graph.status();
    graph_ = *std::move(graph);
  }
  void TearDown() override { EXPECT_EQ(ErrorOf(Verify(graph_)), ""); }

  Value* Find(absl::string_view ref) { return graph_.Find(ref); }
  Node* NodeOf(absl::string_view ref) { return graph_.Find(ref)->producer(); }
  std::vector<std::string> Order() const {
    std::vector<std::string> names;
    for (const auto& node : graph_.nodes()) names.push_back(node->name());
    return names;
  }

  Graph graph_{"", &ToyOps()};
};

TEST_F(GraphMutation, UsesNameNodeAndOperand) {
  EXPECT_THAT(Find("%a")->uses(), ElementsAre(Use{NodeOf("%b"), 0}, Use{NodeOf("%c"), 0}));
  EXPECT_THAT(Find("@w")->uses(), ElementsAre(Use{NodeOf("%a"), 2}));
  EXPECT_THAT(Find("%d")->uses(), ElementsAre());
  EXPECT_EQ(Find("%d")->result_index(), 1);
  const Node& a = *NodeOf("%a");
  EXPECT_EQ(*std::next(a.operands().begin()), nullptr);
  const size_t beyond = a.operands().size();
  EXPECT_EQ(a.operand(beyond), nullptr);
}

TEST_F(GraphMutation, OutputsAreReplacedTogetherOrNotAtAll) {
  const std::vector<Value*> before(graph_.outputs().begin(), graph_.outputs().end());
  EXPECT_FALSE(graph_.SetOutputs({Find("%b"), Find("%x")}).ok());  // an input
  EXPECT_THAT(graph_.outputs(), ElementsAreArray(before));
  ASSERT_TRUE(graph_.SetOutputs({Find("%b"), Find("%a")}).ok());
  EXPECT_THAT(graph_.outputs(), ElementsAre(Find("%b"), Find("%a")));
}

TEST_F(GraphMutation, AddInsertsBeforeANode) {
  const absl::StatusOr<Node*> node =
      graph_.Add({.op = "neg", .operands = {Find("%x")}, .names = {"n"}, .before = NodeOf("%b")});
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_THAT(Order(), ElementsAre("a", "n", "b", "c"));
  EXPECT_EQ(graph_.Find("%n"), (*node)->result());
  EXPECT_THAT(Find("%x")->uses(), ElementsAre(Use{NodeOf("%a"), 0}, Use{*node, 0}));
}

TEST_F(GraphMutation, AddDropsDefaultsAndAbsentOperandsAtTheEnd) {
  const absl::StatusOr<Node*> node = graph_.Add({.op = "opts",
                                                 .operands = {Find("%x"), nullptr},
                                                 .attrs = {{"i", int64_t{1}}, {"f", 0.25}},
                                                 .names = {"n"}});
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_EQ((*node)->attrs(), (Attributes{{"f", 0.25}}));
  EXPECT_EQ((*node)->operands().size(), 1u);
}

TEST_F(GraphMutation, AddTakesWholeNumbersForFloats) {
  Node* node = *graph_.Add({.op = "opts",
                            .operands = {graph_.Find("%x")},
                            .attrs = {{"f", int64_t{2}}},
                            .names = {"whole"}});
  EXPECT_EQ(*node->attrs().Find("f"), AttrValue(2.0));
  EXPECT_EQ(node->attrs().ToString(), "{f=2.0}");
  // No double is 2^53 + 1.
  EXPECT_THAT(ErrorOf(graph_
                          .Add({.op = "opts",
                                .operands = {graph_.Find("%x")},
                                .attrs = {{"f", (int64_t{1} << 53) + 1}},
                                .names = {"odd"}})
                          .status()),
              HasSubstr("is a int (9007199254740993), expected a float"));
}

TEST_F(GraphMutation, AFailedAddLeavesNoTrace) {
  const std::string before = Print(graph_);
  const auto error = [&](absl::string_view op, std::vector<std::string> names,
                         std::vector<Value*> operands, Attributes attrs = {}) {
    return ErrorOf(graph_.Add({op, std::move(operands), std::move(attrs), std::move(names)}));
  };
  Value* x = Find("%x");
  EXPECT_THAT(error("nag", {"n"}, {x}), HasSubstr("%n: unknown op 'nag'"));
  EXPECT_EQ(error("neg", {"a"}, {x}), "%a: %a is defined twice");
  EXPECT_THAT(error("pair", {"n", "n"}, {x}), EndsWith("%n is defined twice"));
  EXPECT_THAT(error("neg", {"n", "m"}, {x}), EndsWith("has 1 results, but 2 names were given"));
  EXPECT_THAT(error("neg", {}, {x}), HasSubstr("node: 'neg' has 1 results"));
  EXPECT_THAT(error("neg", {"n"}, {}), HasSubstr("takes (x), got 0 operands"));
  EXPECT_THAT(error("need", {"n"}, {x}), HasSubstr("needs the attribute 'n' (how many)"));
  EXPECT_THAT(error("view", {"n"}, {x}, {{"to", Shape{0}}}), HasSubstr("is not positive"));
  EXPECT_EQ(graph_.Find("%n"), nullptr);
  EXPECT_EQ(Print(graph_), before);
  EXPECT_EQ(x->uses().size(), 1u);
}

// The first result's type is fine, the second's too large at the bounds: no name may stay taken.
TEST_F(GraphMutation, AFailedSecondResultLeavesNoTrace) {
  ASSERT_TRUE(graph_.AddSymbol("huge", kMax).ok());
  Value* x = *graph_.AddInput("huge", {DType::kI8, {Dim::Symbol("huge")}});
  EXPECT_THAT(ErrorOf(graph_.Add({.op = "pair", .operands = {x}, .names = {"n", "m"}})),
              HasSubstr("overflows"));
  EXPECT_EQ(graph_.Find("%n"), nullptr);
}

TEST_F(GraphMutation, OutputsAreChecked) {
  EXPECT_THAT(ErrorOf(graph_.AddOutput(Find("%b"))), EndsWith("is an output twice"));
  EXPECT_THAT(ErrorOf(graph_.AddOutput(Find("%x"))), HasSubstr("cannot be an output"));
  EXPECT_TRUE(graph_.AddOutput(Find("%a")).ok());
  EXPECT_TRUE(graph_.IsOutput(Find("%a")));
  EXPECT_FALSE(graph_.IsOutput(Find("%d")));
}

TEST_F(GraphMutation, ReplaceUsesMovesOutputsToo) {
  graph_.ReplaceUses(Find("%a"), Find("%x"));
  EXPECT_EQ(NodeOf("%b")->source(), Find("%x"));
  EXPECT_THAT(Find("%x")->uses(), UnorderedElementsAre(Use{NodeOf("%a"), 0}, Use{NodeOf("%b"), 0},
                                                       Use{NodeOf("%c"), 0}));
  EXPECT_THAT(Find("%a")->uses(), ElementsAre());
  graph_.ReplaceUses(Find("%x"), Find("%x"));
  EXPECT_EQ(Find("%x")->uses().size(), 3u);
  graph_.ReplaceUses(Find("%c"), Find("%a"));
  EXPECT_THAT(graph_.outputs(), ElementsAre(Find("%b"), Find("%a")));
}

TEST_F(GraphMutation, SetOperandKeepsUseLists) {
  graph_.SetOperand(NodeOf("%c"), 0, Find("%x"));
  EXPECT_THAT(Find("%a")->uses(), ElementsAre(Use{NodeOf("%b"), 0}));
  graph_.SetOperand(NodeOf("%a"), 1, Find("@w"));
  EXPECT_THAT(Find("@w")->uses(), ElementsAre(Use{NodeOf("%a"), 2}, Use{NodeOf("%a"), 1}));
  graph_.SetOperand(NodeOf("%a"), 1, nullptr);
  EXPECT_THAT(Find("@w")->uses(), ElementsAre(Use{NodeOf("%a"), 2}));
}

TEST_F(GraphMutation, SetAttrDropsDefaults) {
  graph_.SetAttr(NodeOf("%b"), "i", int64_t{1});
  EXPECT_TRUE(NodeOf("%b")->attrs().empty());
  graph_.SetAttr(NodeOf("%b"), "i", int64_t{5});
  EXPECT_EQ(NodeOf("%b")->attrs().ToString(), "{i=5}");
}

TEST_F(GraphMutation, RenameMovesTheReference) {
  Value* a = Find("%a");
  graph_.Rename(a, "new");
  EXPECT_EQ(graph_.Find("%a"), nullptr);
  EXPECT_EQ(graph_.Find("%new"), a);
  graph_.Rename(a, "new");
  EXPECT_EQ(graph_.Find("%new"), a);
}

TEST_F(GraphMutation, UniqueName) {
  EXPECT_EQ(graph_.UniqueName("z"), "z");
  EXPECT_EQ(graph_.UniqueName("w"), "w");  // @w is no result
  EXPECT_EQ(graph_.UniqueName("a"), "a.2");
  graph_.Rename(Find("%d"), "a.2");
  EXPECT_EQ(graph_.UniqueName("a"), "a.3");
}

TEST_F(GraphMutation, MoveAndIsBefore) {
  EXPECT_TRUE(graph_.IsBefore(NodeOf("%b"), NodeOf("%c")));
  graph_.Move(NodeOf("%c"), NodeOf("%b"));
  EXPECT_THAT(Order(), ElementsAre("a", "c", "b"));
  EXPECT_FALSE(graph_.IsBefore(NodeOf("%b"), NodeOf("%c")));
  ASSERT_TRUE(graph_.Add({.op = "make", .names = {"end"}}).ok());
  graph_.Move(NodeOf("%c"), NodeOf("%end"));
  EXPECT_THAT(Order(), ElementsAre("a", "b", "c", "end"));
  graph_.Move(NodeOf("%c"), NodeOf("%c"));
  EXPECT_THAT(Order(), ElementsAre("a", "b", "c", "end"));
}

TEST_F(GraphMutation, EraseUnlinks) {
  Node* node = *graph_.Add({.op = "neg", .operands = {Find("%a")}, .names = {"n"}});
  EXPECT_EQ(Find("%a")->uses().size(), 3u);
  graph_.Erase(node);
  EXPECT_EQ(Find("%a")->uses().size(), 2u);
  EXPECT_EQ(graph_.Find("%n"), nullptr);
  EXPECT_THAT(Order(), ElementsAre("a", "b", "c"));
}

TEST_F(GraphMutation, EraseAllTakesNodesThatUseEachOther) {
  Node* first = *graph_.Add({.op = "neg", .operands = {Find("%a")}, .names = {"n"}});
  Node* second = *graph_.Add({.op = "neg", .operands = {first->result()}, .names = {"m"}});
  graph_.EraseAll({first, second});
  EXPECT_THAT(Order(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(Find("%a")->uses().size(), 2u);
}

TEST_F(GraphMutation, EraseSources) {
  graph_.SetOperand(NodeOf("%a"), 2, Find("%x"));
  graph_.EraseWeight(Find("@w"));
  graph_.EraseState(Find("%s"));
  EXPECT_EQ(graph_.Find("@w"), nullptr);
  EXPECT_EQ(graph_.Find("%s"), nullptr);
  EXPECT_TRUE(graph_.weights().empty());
  EXPECT_TRUE(graph_.states().empty());
}

TEST_F(GraphMutation, CloneIsEqualAndSharesNothing) {
  Graph copy = graph_.Clone();
  const std::string text = Print(graph_);
  EXPECT_EQ(Print(copy), text);
  EXPECT_TRUE(Verify(copy).ok()) << Verify(copy);
  EXPECT_NE(copy.Find("%a"), Find("%a"));
  EXPECT_EQ(copy.nodes()[1]->kernel(), "k");
  EXPECT_EQ(copy.nodes()[1]->origin(), "p");
  copy.Rename(copy.Find("%a"), "z");
  copy.SetAttr(copy.Find("%b")->producer(), "i", int64_t{7});
  copy.SetAttr("layers", int64_t{2});
  EXPECT_EQ(Print(graph_), text);
  graph_ = std::move(copy);
  EXPECT_THAT(Print(graph_), HasSubstr("%b = opts(%z) {i=7}"));
}

}  // namespace
}  // namespace sluice
