// The protobuf form: what is written, and what is refused when read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "graph/proto_io.h"
#include "graph/text.h"
#include "tests/support/ir_files.h"
#include "tests/support/toy_ops.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

proto::Graph Everything() {
  const absl::StatusOr<Graph> graph = Parse(ToyGraphText(), "text", &ToyOps());
  EXPECT_TRUE(graph.ok()) << graph.status();
  return graph.ok() ? ToProto(*graph) : proto::Graph();
}

std::string Reprint(const proto::Graph& message) {
  const absl::StatusOr<Graph> graph = FromProto(message, &ToyOps());
  return graph.ok() ? Print(*graph) : std::string(graph.status().message());
}

TEST(Proto, RoundTripsEverything) {
  EXPECT_EQ(Reprint(Everything()), ToyGraphText());
  proto::Graph read;
  ASSERT_TRUE(read.ParseFromString(Everything().SerializeAsString()));
  EXPECT_EQ(Reprint(read), ToyGraphText());
}

TEST(Proto, MirrorsTheGraph) {
  const proto::Graph message = Everything();
  EXPECT_EQ(message.name(), "two words");
  EXPECT_EQ(message.symbols(0).bound(), 512);
  EXPECT_EQ(message.weights(0).type().dtype(), "q4_k");
  EXPECT_EQ(message.weights(1).memory().bytes(), 16);
  EXPECT_FALSE(message.weights(0).has_memory());
  EXPECT_TRUE(message.states(0).type().is_state());
  EXPECT_THAT(message.outputs(), ElementsAre("%last", "%l1.a"));
  const proto::Node& join = message.nodes(0);
  EXPECT_THAT(join.operands(), ElementsAre("%ids", "", "@blk.0.norm"));
  EXPECT_EQ(join.results(0).type().shape(0).symbol(), "tokens");
  EXPECT_EQ(message.nodes(1).kernel(), "cpu.pair");
  EXPECT_EQ(message.nodes(1).origin(), "some_pass");
  EXPECT_EQ(message.nodes(1).scratch().bytes(), 64);
  EXPECT_TRUE(message.nodes(1).once());
  EXPECT_FALSE(message.nodes(0).once());
  EXPECT_EQ(message.weights(0).layout(), "x8");
  const proto::Node& opts = message.nodes(3);
  EXPECT_EQ(opts.attributes_size(), 6);
  EXPECT_EQ(opts.attributes(0).name(), "b");
  EXPECT_EQ(opts.attributes(1).float_value(), 1e-6);
  EXPECT_EQ(opts.attributes(5).shape_value().dimensions(0).factor(), 8);
}

// Unlike text, messages keep the order of weights, which no group decides.
// Only where the name does not say it.
TEST(Proto, KeepsLayers) {
  const std::string text =
      "graph g\ninput %x : f32[2]\n\n%first = neg(%x) : f32[2] layer(3)\n\n"
      "%l1.a = neg(%first) : f32[2]\n%l1.b = neg(%l1.a) : f32[2] layer(_)\n"
      "\n%l2.c = neg(%l1.b) : f32[2] layer(0)\n\noutput %l2.c\n";
  const absl::StatusOr<Graph> graph = Parse(text, "text", &ToyOps());
  ASSERT_TRUE(graph.ok()) << graph.status();
  std::vector<int> layers;
  for (const auto& node : graph->nodes()) layers.push_back(node->layer());
  EXPECT_THAT(layers, testing::ElementsAre(3, 1, -1, 0));
  EXPECT_EQ(Print(*graph), text);
  EXPECT_EQ(Print(graph->Clone()), text);
  EXPECT_EQ(Print(*FromProto(ToProto(*graph), &ToyOps())), text);
  EXPECT_FALSE(ToProto(*graph).nodes(1).has_layer());
  proto::Graph message = ToProto(*graph);
  message.mutable_nodes(0)->set_layer(-2);
  EXPECT_THAT(FromProto(message, &ToyOps()).status().message(),
              HasSubstr("layer is -2, expected -1 (none) or more"));
  EXPECT_FALSE(
      Parse(absl::StrReplaceAll(text, {{"layer(3)", "layer(-3)"}}), "text", &ToyOps()).ok());
}

TEST(Proto, KeepsTheOrderOfWeights) {
  Graph graph("g", &ToyOps());
  Value* a = *graph.AddWeight("a", {DType::kF32, {1}});
  Value* b = *graph.AddWeight("b", {DType::kF32, {1}});
  ASSERT_TRUE(graph.Add({.op = "neg", .operands = {b}, .names = {"l0.x"}}).ok());
  ASSERT_TRUE(graph.Add({.op = "neg", .operands = {a}, .names = {"l1.x"}}).ok());
  const absl::StatusOr<Graph> read = FromProto(ToProto(graph), &ToyOps());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->weights()[0]->name(), "a");
}

TEST(Proto, FloatsReadBackExactly) {
  for (const double value : {-0.0, 1e-06, std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN()}) {
    Graph graph("g", &ToyOps());
    graph.SetAttr("f", value);
    const absl::StatusOr<Graph> read = FromProto(ToProto(graph), &ToyOps());
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(ToString(*read->attrs().Find("f")), ToString(AttrValue(value)));
  }
}

TEST(ProtoErrors, OfTheHeader) {
  const auto error = [](auto change) {
    proto::Graph message = Everything();
    change(message);
    return Reprint(message);
  };
  EXPECT_THAT(error([](auto& m) { m.set_name("\xFF"); }), HasSubstr("rule V12 "));
  EXPECT_EQ(error([](auto& m) { m.mutable_attributes(0)->clear_value(); }),
            "attribute 'layers': has no value");
  EXPECT_EQ(error([](auto& m) { m.mutable_attributes(1)->set_name("layers"); }),
            "attribute 'layers' is given twice");
  EXPECT_EQ(error([](auto& m) { m.mutable_attributes(0)->clear_name(); }),
            "'' is no name for an attribute: expected letters, digits, _, no digit first");
  EXPECT_EQ(error([](auto& m) { m.mutable_symbols(1)->set_bound(0); }),
            "symbols[1]: symbol 'blocks' has the bound 0, expected at least 1");
  EXPECT_EQ(error([](auto& m) { m.mutable_symbols(1)->set_name("tokens"); }),
            "symbols[1]: symbol 'tokens' is declared twice");
}

TEST(ProtoErrors, OfSources) {
  const auto error = [](auto change) {
    proto::Graph message = Everything();
    change(message);
    return Reprint(message);
  };
  EXPECT_EQ(error([](auto& m) { m.mutable_inputs(0)->clear_type(); }).substr(0, 31),
            "inputs[0]: ids: unknown dtype '");
  EXPECT_EQ(error([](auto& m) { m.mutable_weights(0)->set_name("a b"); }),
            "weights[0]: 'a b' is no name for a value: expected letters, digits, . _ -\n"
            "nodes[0]: %l0.a: nothing before defines '@blk.0.norm', expected %name or @name of a "
            "value");
  EXPECT_EQ(error([](auto& m) { *m.add_weights() = m.weights(0); }),
            "weights[3]: @blk.0.norm is defined twice");
  EXPECT_THAT(error([](auto& m) { m.mutable_states(0)->mutable_type()->set_is_state(false); }),
              HasSubstr("states[0]: %l0.k has the type f16[blocks,2,16,64], but only states are"));
  EXPECT_THAT(error([](auto& m) { m.mutable_weights(0)->mutable_type()->add_shape(); }),
              EndsWith("the dimension 0 is not positive"));
  EXPECT_THAT(error([](auto& m) {
                for (int i = 0; i < 5; ++i) m.mutable_weights(0)->mutable_type()->add_shape();
              }),
              EndsWith("weights[0]: blk.0.norm: a shape has 7 dimensions, expected at most 6"));
  EXPECT_THAT(error([](auto& m) {
                auto* shape = m.mutable_weights(1)->mutable_type()->mutable_shape(0);
                shape->set_factor(std::numeric_limits<int64_t>::max());
              }),
              HasSubstr("overflow"));
  EXPECT_THAT(error([](auto& m) { m.mutable_weights(1)->mutable_memory()->set_offset(-1); }),
              HasSubstr("rule V11 "));
}

TEST(ProtoErrors, OfNodes) {
  const auto error = [](auto change) {
    proto::Graph message = Everything();
    change(message);
    return Reprint(message);
  };
  EXPECT_EQ(error([](auto& m) { m.mutable_nodes(0)->set_operands(0, "%l1.a"); }),
            "nodes[0]: %l0.a: nothing before defines '%l1.a', expected %name or @name of a value");
  EXPECT_EQ(error([](auto& m) { m.mutable_nodes(0)->set_operands(0, "ids"); }),
            "nodes[0]: %l0.a: nothing before defines 'ids', expected %name or @name of a value");
  EXPECT_THAT(error([](auto& m) { m.mutable_nodes(1)->set_op("nag"); }),
              HasSubstr("nodes[1]: %l0.b: unknown op 'nag'"));
  EXPECT_EQ(error([](auto& m) { m.mutable_nodes(1)->mutable_results()->RemoveLast(); }),
            "nodes[1]: %l0.b: 'pair' has 2 results, but 1 names were given");
  EXPECT_THAT(error([](auto& m) { m.mutable_nodes(1)->clear_results(); }),
              HasSubstr("nodes[1]: node: 'pair' has 2 results"));
  EXPECT_EQ(error([](auto& m) { m.mutable_nodes(0)->mutable_results(0)->set_name("ids"); }),
            "nodes[0]: %ids: %ids is defined twice\n"
            "nodes[2]: %l0.k1: nothing before defines '%l0.a', expected %name or @name of a value");
  EXPECT_EQ(error([](auto& m) {
              m.mutable_nodes(1)->mutable_results(1)->mutable_type()->set_dtype("i8");
            }),
            "nodes[1]: %l0.c: the declared type is i8[8], but 'pair' gives i32[8]");
  EXPECT_THAT(error([](auto& m) { m.mutable_nodes(3)->mutable_attributes(0)->set_int_value(1); }),
              HasSubstr("nodes[3]: %l1.a: attribute 'b' of 'opts' is a int (1), expected a bool"));
  EXPECT_THAT(error([](auto& m) { m.mutable_nodes(3)->mutable_attributes(0)->set_name("c"); }),
              HasSubstr("has no attribute 'c'"));
  EXPECT_THAT(error([](auto& m) {
                auto* shape = m.mutable_nodes(3)->mutable_attributes(5)->mutable_shape_value();
                for (int i = 0; i < 7; ++i) shape->add_dimensions();
              }),
              HasSubstr("nodes[3]: %l1.a: attribute 'shape': a shape has 9 dimensions"));
}

// Of what is wrong, not of what uses it.
TEST(ProtoErrors, AllAreTold) {
  proto::Graph message = Everything();
  message.mutable_inputs(0)->mutable_type()->set_dtype("i33");
  message.mutable_nodes(2)->set_op("updat");
  message.set_outputs(1, "%nobody");
  const std::vector<std::string> told = absl::StrSplit(Reprint(message), '\n');
  EXPECT_THAT(told, ElementsAre(HasSubstr("inputs[0]: ids: unknown dtype 'i33'"),
                                HasSubstr("outputs[1]: nothing before defines '%nobody'")));
  message.mutable_inputs(0)->mutable_type()->set_dtype("i32");
  EXPECT_THAT(Reprint(message), HasSubstr("did you mean 'update'?\noutputs[1]: nothing before"));
}

TEST(ProtoErrors, OfOutputs) {
  proto::Graph message = Everything();
  message.set_outputs(0, "%nobody");
  EXPECT_THAT(Reprint(message), HasSubstr("outputs[0]: nothing before defines '%nobody'"));
  message.set_outputs(0, "%ids");
  EXPECT_THAT(Reprint(message), HasSubstr("outputs[0]: %ids cannot be an output"));
  message.set_outputs(0, "%l1.a");
  EXPECT_THAT(Reprint(message), HasSubstr("outputs[1]: %l1.a is an output twice"));
}

TEST(ProtoErrors, HaveNoControlCharacters) {
  proto::Graph message;
  message.add_nodes()->set_op("\x1B[2J");
  EXPECT_THAT(Reprint(message), HasSubstr("unknown op '?[2J'"));
}

TEST(ProtoErrors, LargeHostileMessagesAreCheap) {
  proto::Graph attrs, symbols;
  for (int i = 0; i < 100000; ++i) {
    attrs.add_attributes()->set_int_value(i);
    attrs.mutable_attributes(i)->set_name(absl::StrCat("a", i));
    symbols.add_symbols()->set_bound(1);
    symbols.mutable_symbols(i)->set_name(absl::StrCat("s", i));
  }
  EXPECT_THAT(Reprint(attrs), HasSubstr("one too many"));
  EXPECT_THAT(Reprint(symbols), HasSubstr("one too many"));
}

// Graphs of real ops.
class ProtoFiles : public testing::TestWithParam<std::string> {};

TEST_P(ProtoFiles, RoundTrip) {
  const std::string text = ReadIrFile(GetParam());
  const absl::StatusOr<Graph> graph = Parse(text, GetParam());
  ASSERT_TRUE(graph.ok()) << graph.status();
  const absl::StatusOr<Graph> read = FromProto(ToProto(*graph));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(Print(*read), text);
}

// Messages that were stored stay readable: field numbers keep their meaning.
TEST_P(ProtoFiles, StoredMessagesAreTheSameGraph) {
  const std::string path =
      absl::StrReplaceAll(GetParam(), {{"/valid/", "/proto/"}, {".ir", ".pb"}});
  proto::Graph message;
  ASSERT_TRUE(message.ParseFromString(ReadIrFile(path))) << path;
  const absl::StatusOr<Graph> graph = FromProto(message);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(Print(*graph), ReadIrFile(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(All, ProtoFiles, testing::ValuesIn(IrFiles("valid")), IrTestName);

}  // namespace
}  // namespace sluice
