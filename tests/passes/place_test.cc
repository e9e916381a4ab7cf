// One graph on several devices: the pass that places nodes, the rule that checks it, and runs that
// must give what one device alone gives. The devices are the CPU twice, so that results have to be
// equal to the last bit, or the reference and the CPU.
//
//   passes_tests --gtest_filter='RandomGraphs.GiveTheSame*'   random graphs, random placements
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/placed/placed_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/device_split.h"
#include "graph/proto_io.h"
#include "graph/text.h"
#include "models/model.h"
#include "passes/memory_plan.h"
#include "passes/pipeline.h"
#include "tests/support/golden_logits.h"
#include "tests/support/other_device.h"
#include "tests/support/random_graph.h"
#include "tools/debug/random_data.h"
#include "tools/engine/session.h"
#include "tools/inspect/placement.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// "other" and "cpu".
std::unique_ptr<Backend> OtherAndCpu(std::vector<std::string> rules, int64_t layers = -1,
                                     bool fallback = false, const std::string& lacks = "nothing") {
  Placement placement{.layers = layers, .fallback = fallback};
  placement.devices.push_back(MakeOtherDevice(MakeCpuBackend({.threads = 1}), lacks));
  placement.devices.push_back(MakeCpuBackend({.threads = 1}));
  for (const std::string& text : rules) placement.rules.push_back(*ParsePlaceRule(text));
  auto backend = MakePlacedBackend(std::move(placement));
  EXPECT_TRUE(backend.ok()) << backend.status();
  return *std::move(backend);
}

// The device of each node, by the name of its first result.
std::map<std::string, std::string> DevicesOf(const Graph& graph) {
  std::map<std::string, std::string> devices;
  for (const auto& node : graph.nodes()) devices[node->name()] = node->device();
  return devices;
}

absl::StatusOr<Graph> Placed(absl::string_view text, const Backend& backend) {
  absl::StatusOr<Graph> graph = Parse(text);
  if (!graph.ok()) return graph;
  const absl::Status status = RunPasses({FindPass("place"), 1}, ContextOf(backend), {}, &*graph);
  if (!status.ok()) return status;
  return graph;
}

// --- Where nodes go -------------------------------------------------------------------------

constexpr char kLayers[] = R"(graph g
symbol tokens <= 4
input %ids : i32[tokens]
weight @embd : f32[8,16]
%x = embedding(@embd, %ids) : f32[tokens,16]
weight @blk.0.up : f32[16,16]
%l0.u = matmul(%x, @blk.0.up) : f32[tokens,16]
%l0.y = add(%x, %l0.u) : f32[tokens,16]
weight @blk.1.up : f32[16,16]
%l1.u = matmul(%l0.y, @blk.1.up) : f32[tokens,16]
%l1.y = add(%l0.y, %l1.u) : f32[tokens,16]
weight @head : f32[8,16]
%logits = matmul(%l1.y, @head) : f32[tokens,8]
output %logits
)";

TEST(Place, LayersCountFromTheOutput) {
  // Of embedding, layer 0, layer 1, output: how many are on the CPU. The sum of a layer, which has
  // no weight, may be on the side of its reader.
  const std::vector<std::vector<std::string>> expected = {{"cpu", "cpu", "cpu", "cpu"},
                                                          {"cpu", "cpu", "cpu", "other"},
                                                          {"cpu", "cpu", "other", "other"},
                                                          {"cpu", "other", "other", "other"},
                                                          {"cpu", "other", "other", "other"}};
  for (size_t layers = 0; layers < expected.size(); ++layers) {
    const auto graph = Placed(kLayers, *OtherAndCpu({}, static_cast<int64_t>(layers)));
    ASSERT_TRUE(graph.ok()) << graph.status();
    auto devices = DevicesOf(*graph);
    EXPECT_THAT((std::vector{devices["x"], devices["l0.u"], devices["l1.u"], devices["logits"]}),
                testing::ElementsAreArray(expected[layers]))
        << layers;
  }
  // Whatever the layers' names are.
  const std::string renamed =
      absl::StrReplaceAll(kLayers, {{"%l0.u = matmul(%x, @blk.0.up) : f32[tokens,16]",
                                     "%a = matmul(%x, @blk.0.up) : f32[tokens,16] layer(0)"},
                                    {"%l1.u = matmul(%l0.y, @blk.1.up) : f32[tokens,16]",
                                     "%b = matmul(%l0.y, @blk.1.up) : f32[tokens,16] layer(1)"},
                                    {"%l0.u", "%a"},
                                    {"%l1.u", "%b"}});
  const auto same = Placed(renamed, *OtherAndCpu({}, 2));
  ASSERT_TRUE(same.ok()) << same.status();
  auto devices = DevicesOf(*same);
  EXPECT_THAT((std::vector{devices["x"], devices["a"], devices["b"], devices["logits"]}),
              ElementsAre("cpu", "cpu", "other", "other"));
  const auto all = Placed(kLayers, *OtherAndCpu({}));
  ASSERT_TRUE(all.ok()) << all.status();
  for (const auto& [node, device] : DevicesOf(*all)) EXPECT_EQ(device, "other") << node;
}

TEST(Place, TheFirstRuleThatFitsCounts) {
  const auto graph =
      Placed(kLayers, *OtherAndCpu({"blk\\.1\\.=cpu", "up$=other", "head|x=cpu"}, 0));
  ASSERT_TRUE(graph.ok()) << graph.status();
  auto devices = DevicesOf(*graph);
  EXPECT_EQ(devices["l1.u"], "cpu");  // by its weight
  EXPECT_EQ(devices["l0.u"], "other");
  EXPECT_EQ(devices["x"], "cpu");
  EXPECT_THAT(Print(*graph), HasSubstr("%x.other = copy(%x) : f32[tokens,16] device(other) "
                                       "by(place)\n"));
}

TEST(Place, ARuleThatFitsNothingIsAnError) {
  absl::StatusOr<Graph> graph = Parse(kLayers);
  ASSERT_TRUE(graph.ok()) << graph.status();
  const absl::Status status = Optimize(*OtherAndCpu({"x=cpu", "blk\\.7=cpu"}, 0), {}, &*graph);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("--place blk\\.7=cpu"), HasSubstr("no node")));
}

TEST(Place, RulesAreChecked) {
  EXPECT_THAT(std::string(ParsePlaceRule("exps").status().message()), HasSubstr("REGEX=DEVICE"));
  EXPECT_THAT(std::string(ParsePlaceRule("a(=cpu").status().message()),
              HasSubstr("'a(' is no regular expression"));
  Placement placement;
  placement.devices.push_back(MakeCpuBackend());
  placement.rules.push_back(*ParsePlaceRule("a=b=gpu"));
  EXPECT_EQ(MakePlacedBackend(std::move(placement)).status().message(),
            "'a=b=gpu': the devices are cpu");
  Placement twice;
  twice.devices.push_back(MakeCpuBackend());
  twice.devices.push_back(MakeCpuBackend());
  EXPECT_EQ(MakePlacedBackend(std::move(twice)).status().message(), "two devices are called cpu");
}

TEST(Place, OtherPassesKeepDevicesApart) {
  // A graph for another machine is refused, with the node named.
  auto graph = Placed(kLayers, *OtherAndCpu({}, 1));
  ASSERT_TRUE(graph.ok()) << graph.status();
  Placement placement;
  placement.devices.push_back(MakeCpuBackend());
  const auto alone = MakePlacedBackend(std::move(placement));
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_THAT(std::string(Optimize(**alone, {}, &*graph).message()),
              HasSubstr("is for 'other', which is no device here"));
  const auto all_other = Placed(kLayers, *OtherAndCpu({}));
  ASSERT_TRUE(all_other.ok()) << all_other.status();
  EXPECT_THAT(std::string((*alone)->Compile(all_other->Clone(), {}).status().message()),
              HasSubstr("the graph has nodes for 'other', which is no device here"));
}

// --- Fallback -------------------------------------------------------------------------------

TEST(Fallback, TakesWhatTheDeviceHasNoKernelFor) {
  const auto strict = OtherAndCpu({}, -1, false, "add");
  absl::StatusOr<Graph> graph = Parse(kLayers);
  ASSERT_TRUE(graph.ok()) << graph.status();
  Graph copy = graph->Clone();
  EXPECT_THAT(std::string(Optimize(*strict, {}, &copy).message()),
              HasSubstr("no other kernel for %l0.y = add("));
  const auto lenient = OtherAndCpu({}, -1, true, "add");
  ASSERT_TRUE(Optimize(*lenient, {}, &*graph).ok());
  auto devices = DevicesOf(*graph);
  EXPECT_EQ(devices["l0.y"], "cpu");
  EXPECT_EQ(devices["l0.u"], "other");
  EXPECT_THAT(Print(*graph), HasSubstr("%l0.y.other = copy(%l0.y) : f32[tokens,16] device(other)"));
}

// --- V14 ------------------------------------------------------------------------------------

std::string Fault(absl::string_view nodes) {
  const auto graph =
      Parse(absl::StrCat("graph g\nsymbol tokens <= 4\ninput %x : f32[tokens,4]\n"
                         "input %rows : i32[tokens]\n"
                         "input %tables : i32[tokens,2]\n"
                         "input %lens : i32[tokens]\n"
                         "weight @w : f32[4]\n"
                         "state %k : state<f32[4,1,4,4]>\n"
                         "state %v : state<f32[4,1,4,4]>\n",
                         nodes));
  return std::string(graph.status().message());
}

TEST(V14, EveryNodeHasADeviceOrNone) {
  EXPECT_THAT(Fault("%y = silu(%x) : f32[tokens,4] device(a)\n%z = silu(%y) : f32[tokens,4]\n"),
              HasSubstr("names no device, but others do"));
  EXPECT_THAT(Fault("%y = silu(%x) : f32[tokens,4]\n%z = silu(%y) : f32[tokens,4] device(a)\n"),
              HasSubstr("names a device, but others do not"));
}

TEST(V14, ResultsAreReadOnTheirDevice) {
  EXPECT_THAT(Fault("%y = silu(%x) : f32[tokens,4] device(a)\n"
                    "%z = silu(%y) : f32[tokens,4] device(b)\n"),
              HasSubstr("rule V14 (values are on the device that reads them): %z = silu(%y) : "
                        "f32[tokens,4] device(b): reads %y, which is on a"));
  EXPECT_EQ(Fault("%y = silu(%x) : f32[tokens,4] device(a)\n"
                  "%y.b = copy(%y) : f32[tokens,4] device(b)\n"
                  "%z = silu(%y.b) : f32[tokens,4] device(b)\n"),
            "");
}

TEST(V14, WhatRunsOnceIsNotMoved) {
  EXPECT_THAT(Fault("%c = silu(@w) : f32[4] device(a) once\n"
                    "%d = copy(%c) : f32[4] device(b) once\n"),
              HasSubstr("reads %c, which is on a"));
}

TEST(V14, AStateIsOnOneDevice) {
  constexpr char kAppend[] =
      "%h = reshape(%x) {shape=[tokens,1,4]} : f32[tokens,1,4] device(a)\n"
      "%k2, %v2 = kv_append(%k, %v, %h, %h, %rows) : state<f32[4,1,4,4]>, state<f32[4,1,4,4]> "
      "device(a)\n"
      "%h.b = copy(%h) : f32[tokens,1,4] device(b)\n";
  EXPECT_EQ(Fault(kAppend), "");
  EXPECT_THAT(Fault(absl::StrCat(kAppend,
                                 "%k3, %v3 = kv_append(%k2, %v2, %h.b, %h.b, %rows) : "
                                 "state<f32[4,1,4,4]>, state<f32[4,1,4,4]> device(b)\n")),
              HasSubstr("reads %k2, which is on a"));
  EXPECT_THAT(Fault("%h = reshape(%x) {shape=[tokens,1,4]} : f32[tokens,1,4] device(a)\n"
                    "%h.b = copy(%h) : f32[tokens,1,4] device(b)\n"
                    "%q = attention(%h.b, %k, %v, %rows, %rows, %tables, %lens) {scale=1.0} : "
                    "f32[tokens,1,4] device(b)\n"
                    "%k2, %v2 = kv_append(%k, %v, %h, %h, %rows) : state<f32[4,1,4,4]>, "
                    "state<f32[4,1,4,4]> device(a)\n"),
              HasSubstr("uses the state %k, which is on b"));
}

TEST(V11, EachDeviceHasMemoryOfItsOwn) {
  constexpr char kBoth[] =
      "%y = silu(%x) : f32[tokens,4] device(a) mem(act+0x0:64)\n"
      "%z = silu(%x) : f32[tokens,4] device($0) mem(act+0x0:64)\n"
      "%y2 = silu(%y) : f32[tokens,4] device(a)\n";
  EXPECT_EQ(Fault(absl::StrReplaceAll(kBoth, {{"$0", "b"}})), "");
  EXPECT_THAT(Fault(absl::StrReplaceAll(kBoth, {{"$0", "a"}})), HasSubstr("rule V11"));
}

// --- Graphs apart ---------------------------------------------------------------------------

TEST(SplitByDevice, PartsFollowEachOther) {
  auto graph = Parse(
      "graph g\nsymbol tokens <= 4\ninput %x : f32[tokens,4]\n"
      "%a = silu(%x) : f32[tokens,4] device(a)\n"
      "%a.b = copy(%a) : f32[tokens,4] device(b)\n"
      "%b = silu(%a.b) : f32[tokens,4] device(b)\n"
      "%b.a = copy(%b) : f32[tokens,4] device(a)\n"
      "%c = add(%a, %b.a) : f32[tokens,4] device(a)\n"
      "output %c\noutput %b\n");
  ASSERT_TRUE(graph.ok()) << graph.status();
  const auto split = SplitByDevice(*graph);
  ASSERT_TRUE(split.ok()) << split.status();
  ASSERT_EQ(split->graphs.size(), 2u);
  EXPECT_EQ(Print(split->graphs[1].graph),
            "graph g\nsymbol tokens <= 4\ninput %a : f32[tokens,4]\n\n"
            "%a.b = copy(%a) : f32[tokens,4] device(b)\n\n"
            "%b = silu(%a.b) : f32[tokens,4] device(b)\n\noutput %b\n");
  ASSERT_EQ(split->parts.size(), 3u);
  EXPECT_EQ(split->parts[2].device, 0u);
  EXPECT_EQ(split->parts[2].nodes.begin, 1u);
  EXPECT_EQ(split->parts[2].nodes.end, 3u);
  ASSERT_EQ(split->parts[2].transfers.size(), 1u);
  EXPECT_EQ(split->parts[2].transfers[0].from, 1u);
  EXPECT_THAT(split->outputs,
              ElementsAre(std::pair<size_t, size_t>{0, 1}, std::pair<size_t, size_t>{1, 0}));
}

// --- Runs -----------------------------------------------------------------------------------

// About half of the nodes go to each device.
std::vector<std::string> RandomRules(const Graph& graph, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::string> names;
  for (const auto& node : graph.nodes()) {
    if (random() % 2 == 0) names.push_back(absl::StrReplaceAll(node->name(), {{".", "\\."}}));
  }
  if (names.empty()) return {};
  return {absl::StrCat("^(", absl::StrJoin(names, "|"), ")$=cpu")};
}

// What is wrong, or "".
std::string CheckForms(const Graph& graph) {
  const std::string text = Print(graph);
  const auto parsed = Parse(text);
  if (!parsed.ok()) return parsed.status().ToString();
  if (Print(*parsed) != text) return "text comes back otherwise";
  const auto loaded = FromProto(ToProto(graph));
  if (!loaded.ok()) return loaded.status().ToString();
  return Print(*loaded) == text ? "" : "proto comes back otherwise";
}

std::string CheckSecondPlace(const Graph& graph, const Backend& backend) {
  Graph again = graph.Clone();
  std::vector<PassReport> report;
  const absl::Status status =
      RunPasses({FindPass("place"), 1}, ContextOf(backend), {}, &again, &report);
  if (!status.ok()) return status.ToString();
  return report[0].changed ? "a second place changes the graph" : "";
}

// Sums are in another order where experts are reached token by token, and whether they are depends
// on what is on one device.
const PassOptions kSameSums = {.disabled = {"absorb_moe_gather"}};

struct Counts {
  int64_t copies = 0, parts = 0;
};

std::string CheckRandomGraph(uint64_t seed, Backend& cpu, Counts* counts) {
  const auto graph = MakeRandomGraph(seed);
  if (!graph.ok()) return graph.status().ToString();
  const auto data = RandomData::Make(*graph, seed);
  if (!data.ok()) return data.status().ToString();
  Graph alone = graph->Clone(), placed = graph->Clone();
  const auto both = OtherAndCpu(RandomRules(*graph, seed), seed % 2 == 0 ? -1 : 1);
  for (const auto& [backend, stage] : {std::pair{&cpu, &alone}, std::pair{both.get(), &placed}}) {
    const absl::Status status = Optimize(*backend, kSameSums, stage);
    if (!status.ok()) return status.ToString();
  }
  if (std::string wrong = CheckForms(placed); !wrong.empty()) return wrong;
  Graph only_placed = graph->Clone();
  const absl::Status stopped = Optimize(*both, {.stop_after = "place"}, &only_placed);
  if (!stopped.ok()) return stopped.ToString();
  if (std::string wrong = CheckSecondPlace(only_placed, *both); !wrong.empty()) return wrong;
  const auto expected = data->Run(cpu, alone), got = data->Run(*both, placed);
  if (!expected.ok()) return expected.status().ToString();
  if (!got.ok()) return got.status().ToString();
  counts->copies += std::count_if(placed.nodes().begin(), placed.nodes().end(),
                                  [](const auto& node) { return node->origin() == "place"; });
  counts->parts += static_cast<int64_t>(SplitByDevice(placed)->parts.size());
  // NaN differs from itself.
  return Nmse(*expected, *got) == 0 || *expected == *got ? "" : "other numbers than on one device";
}

TEST(RandomGraphs, GiveTheSameOnTwoDevicesAsOnOne) {
  constexpr uint64_t kGraphs = 300;
  const auto cpu = MakeCpuBackend({.threads = 1});
  Counts counts;
  for (uint64_t seed = 1; seed <= kGraphs; ++seed) {
    EXPECT_EQ(CheckRandomGraph(seed, *cpu, &counts), "") << "seed " << seed;
  }
  EXPECT_GT(counts.copies, static_cast<int64_t>(2 * kGraphs));
  EXPECT_GT(counts.parts, static_cast<int64_t>(3 * kGraphs));
}

class PlacedModel : public testing::Test {
 protected:
  void SetUp() override {
    auto model = Model::LoadEmbedded();
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }
  absl::StatusOr<std::unique_ptr<Session>> Open(Backend& backend, const PassOptions& passes = {}) {
    return tools::OpenSession(*model_, backend, {.max_tokens = 16, .context = 64},
                              {.max_outputs = 16, .prepack_bytes = 0, .passes = passes});
  }
  std::vector<float> Logits(Backend& backend, size_t chunk, const PassOptions& passes = {}) {
    auto session = Open(backend, passes);
    EXPECT_TRUE(session.ok()) << session.status();
    const auto logits = LogitsOf(**session, kIds, chunk);
    EXPECT_TRUE(logits.ok()) << logits.status();
    return *logits;
  }
  const std::vector<int32_t> kIds = {1, 17, 300, 5, 9, 42, 7, 2, 250, 31, 8};
  std::unique_ptr<Model> model_;
};

TEST_F(PlacedModel, EveryNumberOfLayersGivesTheSameLogits) {
  const auto cpu = MakeCpuBackend({.threads = 1});
  for (const size_t chunk : {size_t{1}, size_t{4}, kIds.size()}) {
    const std::vector<float> expected = Logits(*cpu, chunk);
    for (int64_t layers = 0; layers <= 6; ++layers) {
      EXPECT_EQ(Logits(*OtherAndCpu({}, layers), chunk), expected)
          << layers << " layers, " << chunk << " tokens at a time";
    }
  }
}

TEST_F(PlacedModel, ExpertsOnTheCpuTakeTheirRoutingAlong) {
  const auto cpu = MakeCpuBackend({.threads = 1});
  const auto both = OtherAndCpu({"exps=cpu"});
  for (const size_t chunk : {size_t{1}, kIds.size()}) {
    EXPECT_EQ(Logits(*both, chunk), Logits(*cpu, chunk)) << chunk << " tokens at a time";
  }
  const auto session = Open(*both);
  ASSERT_TRUE(session.ok()) << session.status();
  auto devices = DevicesOf((*session)->graph());
  EXPECT_EQ(devices["l0.h"], "cpu");
  EXPECT_EQ(devices["l0.rows"], "cpu");  // k rows a token to copy, otherwise
  EXPECT_EQ(devices["l0.y"], "cpu");
  EXPECT_EQ(devices["l0.lg"], "other");
  // Nothing is in the way of the pass for few tokens.
  const auto decode = (*session)->ExecutableFor(1);
  ASSERT_TRUE(decode.ok()) << decode.status();
  EXPECT_THAT(Print((*decode)->graph()), HasSubstr("= indexed_expert_glu("));
}

TEST_F(PlacedModel, ARuleForOneUserOfACacheMovesAll) {
  const auto both = OtherAndCpu({"l1\\.a$=cpu"});
  const auto session = Open(*both);
  ASSERT_TRUE(session.ok()) << session.status();
  auto devices = DevicesOf((*session)->graph());
  EXPECT_EQ(devices["l1.qr"], "cpu");
  EXPECT_EQ(devices["l2.qr"], "other");
}

TEST_F(PlacedModel, TheReferenceAndTheCpuShareAModel) {
  const auto ref = MakeRefBackend();
  Placement placement{.layers = 3};
  placement.devices.push_back(MakeRefBackend());
  placement.devices.push_back(MakeCpuBackend({.threads = 2}));
  placement.rules.push_back(*ParsePlaceRule("ffn_down=ref"));
  const auto both = MakePlacedBackend(std::move(placement));
  ASSERT_TRUE(both.ok()) << both.status();
  for (const size_t chunk : {size_t{1}, kIds.size()}) {
    // Sums in float32 against float64, and a cache of 11 bits whose ties may fall either way.
    EXPECT_LT(Nmse({Logits(*ref, chunk)}, {Logits(**both, chunk)}), 1e-6);
  }
}

class NodeNames : public RunObserver {
 public:
  void OnNode(const Node& node, absl::Span<const TensorView> operands,
              absl::Span<const TensorView> results, double) override {
    nodes.push_back(&node);
    for (const TensorView& result : results) EXPECT_TRUE(result.present()) << node.name();
    EXPECT_EQ(operands.size(), node.operands().size());
  }
  std::vector<const Node*> nodes;
};

TEST_F(PlacedModel, AnObserverSeesTheNodesOfTheWholeGraphInOrder) {
  const auto both = OtherAndCpu({"exps=cpu"}, 4);
  const auto session = Open(*both);
  ASSERT_TRUE(session.ok()) << session.status();
  NodeNames observer;
  (*session)->set_observer(&observer);
  ASSERT_TRUE(LogitsOf(**session, {1}, 1).ok());
  const auto executable = (*session)->ExecutableFor(1);
  ASSERT_TRUE(executable.ok()) << executable.status();
  std::vector<const Node*> expected;
  for (const auto& node : (*executable)->graph().nodes()) expected.push_back(node.get());
  EXPECT_EQ(observer.nodes, expected);
}

// --- What is told of it ---------------------------------------------------------------------

TEST_F(PlacedModel, PlacementIsReported) {
  const auto both = OtherAndCpu({}, 3);  // the last two of five layers, and the output
  const auto session = Open(*both);
  ASSERT_TRUE(session.ok()) << session.status();
  const auto executable = (*session)->ExecutableFor(1);
  ASSERT_TRUE(executable.ok()) << executable.status();
  const Graph& graph = (*executable)->graph();
  const auto step = PlacementOf(graph, 1, both->kernels());
  ASSERT_TRUE(step.ok()) << step.status();
  ASSERT_EQ(step->devices.size(), 2u);
  EXPECT_EQ(step->devices[0].device, "cpu");
  EXPECT_EQ(step->devices[0].parts, 1);
  EXPECT_EQ(step->devices[1].parts, 1);
  ASSERT_EQ(step->directions.size(), 1u);
  EXPECT_EQ(step->directions[0].to, "other");
  // The residual stream of 256 floats: as it is, or its two summands.
  EXPECT_GE(step->directions[0].copies, 1);
  EXPECT_EQ(step->directions[0].bytes, step->directions[0].copies * 256 * 4);
  // Two fifths of the cache, and arenas that add up.
  const auto whole = MemoryPlanOf(graph, both->kernels());
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(step->devices[1].memory.states * 5, whole->states * 2);
  EXPECT_EQ(step->devices[0].memory.arena + step->devices[1].memory.arena, whole->arena);
  EXPECT_GE(whole->arena, whole->lower_bound);
  EXPECT_EQ((*executable)->memory().arena, whole->arena);

  EXPECT_THAT(PlacementText({*step}), HasSubstr("| cpu to other |"));
  const auto json = PlacementJson({*step});
  EXPECT_EQ(json[0]["copies"][0]["bytes"], step->directions[0].bytes);
  EXPECT_EQ(json[0]["devices"][1]["device"], "other");
}

}  // namespace
}  // namespace sluice
