// inspect: memory plans, costs and predictions of small models against numbers by hand, and that
// nothing of a model's weights is read.
#include "tools/inspect/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "backends/cpu/cpu_backend.h"
#include "graph/text.h"
#include "models/shapes/shaped_model.h"
#include "passes/specialise.h"
#include "tests/support/model_file.h"
#include "tools/inspect/metadata.h"
#include "tools/inspect/report.h"
#include "tools/terminal/markdown_table.h"
#include "tools/terminal/units.h"

namespace sluice {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Pair;

InspectOptions Small(int64_t context = 64) {
  return {.plan = {.decoder = {.max_tokens = 8, .context = context}}};
}

std::unique_ptr<Model> Load(const ModelFile& file) {
  ModelFiles files;
  files.push_back(file.Open());
  auto model = Model::FromFiles(std::move(files));
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

class Inspect : public testing::Test {
 protected:
  Inspection Of(const Model& model, const InspectOptions& options = Small()) {
    auto inspection = InspectModel(model, *backend_, options);
    EXPECT_TRUE(inspection.ok()) << inspection.status();
    return inspection.ok() ? *std::move(inspection) : Inspection{};
  }
  const std::unique_ptr<Backend> backend_ = MakeCpuBackend({.threads = 1});
};

// hidden 32, 4 heads of 8, 2 KV heads, feed-forward 64, 6 tokens, all f32; see model_file.h.
constexpr int64_t kTable = 6 * 32;
constexpr int64_t kAttention = 2 * 32 * 32 + 2 * 16 * 32;
constexpr int64_t kFeedForward = 3 * 64 * 32;
constexpr int64_t kNorms = 3 * 32;  // two in the layer, one at the end
constexpr int64_t kAll = kTable + kAttention + kFeedForward + kNorms;

TEST_F(Inspect, MemoryIsWhatTheTypesSay) {
  const auto model = Load(ModelFile("llama"));
  const Inspection inspection = Of(*model);
  EXPECT_EQ(inspection.parameters.total, kAll);
  EXPECT_EQ(inspection.parameters.active, kAll);
  ASSERT_EQ(inspection.formats.size(), 1u);
  EXPECT_EQ(inspection.formats[0].tensors, 11);
  EXPECT_EQ(inspection.formats[0].bytes, 4 * kAll);

  const ModelPlan& plan = inspection.plan;
  EXPECT_EQ(plan.context, 64);
  EXPECT_EQ(plan.cache_bytes_per_token, 2 * 2 * 8 * 2);  // keys and values, 2 heads of 8, f16
  EXPECT_EQ(plan.cache_bytes, 64 * 64);
  std::vector<int64_t> tokens;
  for (const BucketPlan& bucket : plan.buckets) {
    tokens.push_back(bucket.tokens);
    EXPECT_EQ(bucket.memory.weights, 4 * kAll);
    EXPECT_EQ(bucket.memory.states, plan.cache_bytes);
    EXPECT_EQ(bucket.graph.Bounds().Get("tokens"), bucket.tokens);
    EXPECT_GE(bucket.memory.arena, bucket.memory.lower_bound);
  }
  EXPECT_EQ(tokens, DefaultTokenBuckets(8));
}

TEST_F(Inspect, PeakIsTheSumOfThePlanAndTheTables) {
  const auto model = Load(ModelFile("llama"));
  const Inspection inspection = Of(*model);
  int64_t arenas = 0, sum = 0;
  for (const BucketPlan& bucket : inspection.plan.buckets) {
    arenas += bucket.memory.arena + bucket.memory.constants;
  }
  EXPECT_EQ(inspection.peak.weights, 4 * kAll);  // the table is the output, too: all of it is read
  EXPECT_EQ(inspection.peak.cache, inspection.plan.cache_bytes);
  EXPECT_EQ(inspection.peak.arenas, arenas);
  for (const PeakField& field : PeakFields()) sum += inspection.peak.*field.field;
  EXPECT_EQ(inspection.peak.total(), sum);
  PeakMemory without = PredictPeak(*model, inspection.plan, {.tokenizer = false});
  EXPECT_EQ(without.vocabulary, 0);
}

TEST_F(Inspect, PeakIsThatOfThePromptThatIsAskedFor) {
  const auto model = Load(ModelFile("llama"));
  InspectOptions options = Small();
  options.peak.prompt = 17;  // two steps of 8 and one of 1, in two cache blocks of 16
  const Inspection inspection = Of(*model, options);
  EXPECT_EQ(inspection.peak.cache, 2 * 16 * 64);
  int64_t arenas = 0;
  for (const BucketPlan& bucket : inspection.plan.buckets) {
    if (bucket.tokens == 1 || bucket.tokens == 8) arenas += bucket.memory.arena;
  }
  EXPECT_EQ(inspection.peak.arenas, arenas);
  // Whether it fits is asked of a context that fills up.
  const Inspection full = Of(*model);
  EXPECT_EQ(inspection.fit.needed, full.fit.needed);
  EXPECT_EQ(full.fit.needed, full.peak.total());
  EXPECT_LT(inspection.peak.total(), full.peak.total());
  EXPECT_THAT(InspectionText(*model, inspection, {}),
              HasSubstr("predicted for a prompt of 17 tokens in a context of 64\n"));
  EXPECT_THAT(InspectionText(*model, full, {}),
              HasSubstr("predicted for a full context of 64 tokens\n"));
  const auto json = nlohmann::json::parse(InspectionJson(*model, inspection, {}));
  EXPECT_EQ(json["peak"]["context"], 64);
  EXPECT_EQ(json["peak"]["prompt"], 17);
}

TEST_F(Inspect, DecodeStepsCostWhatTheMathsSays) {
  const auto model = Load(ModelFile("llama"));
  const Inspection inspection = Of(*model);
  ASSERT_EQ(inspection.decode.size(), 3u);
  for (const DecodeCost& decode : inspection.decode) {
    SCOPED_TRACE(decode.length);
    const auto flops = [&](Part part) {
      return decode.cost.parts[static_cast<size_t>(part)].flops;
    };
    EXPECT_EQ(flops(Part::kQkv), 2 * 32 * (32 + 16 + 16));
    EXPECT_EQ(flops(Part::kAttentionOutput), 2 * 32 * 32);
    // Per head and cached token: two products of 8, and scale, subtract, exp, add.
    EXPECT_EQ(flops(Part::kAttention), 4 * decode.length * (2 * 16 + 4));
    EXPECT_EQ(flops(Part::kGateUp), 2 * 2 * 64 * 32 + 64 * (4 + 1));  // silu counts 4
    EXPECT_EQ(flops(Part::kDown), 2 * 64 * 32);
    EXPECT_EQ(flops(Part::kOutput), 2 * 6 * 32);
    EXPECT_EQ(decode.cost.weight_bytes, 4 * (kAll + 32));  // a row of the table, and then all of it
  }
  EXPECT_EQ(inspection.decode[0].length, 1);
  EXPECT_EQ(inspection.decode[2].length, 64);
}

TEST_F(Inspect, OnlyUsedExpertsAreActive) {
  const auto model = Load(ModelFile::WithExperts("qwen3moe"));
  const Inspection inspection = Of(*model);
  constexpr int64_t kExpert = 3 * 32 * 32;  // 4 experts, 2 used
  EXPECT_EQ(inspection.parameters.total - inspection.parameters.active, 2 * kExpert);
  const int64_t touched = 4 * (inspection.parameters.active + 32);
  EXPECT_EQ(inspection.decode[0].cost.weight_bytes, touched);
  EXPECT_EQ(inspection.peak.weights, 4 * inspection.parameters.total);
}

TEST_F(Inspect, LargestContextIsTheOneThatJustFits) {
  ModelFile file("llama");
  file.Int(".context_length", 1 << 20);
  const auto model = Load(file);
  const InspectOptions options = Small();
  const auto peak_at = [&](int64_t context) {
    const auto plan = PlanModel(*model, *backend_, Small(context).plan);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return PredictPeak(*model, *plan, {.tokens = 64}).total();
  };
  const auto plan = PlanModel(*model, *backend_, options.plan);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const int64_t available = peak_at(4096) + 100;
  const auto roomy = FitOf(*model, *backend_, options, *plan, available);
  ASSERT_TRUE(roomy.ok()) << roomy.status();
  EXPECT_TRUE(roomy->fits());
  EXPECT_LE(peak_at(roomy->largest_context), available);
  EXPECT_GT(peak_at(roomy->largest_context + 16), available);

  const auto tight = FitOf(*model, *backend_, options, *plan, peak_at(32) + 1);
  ASSERT_TRUE(tight.ok()) << tight.status();
  EXPECT_FALSE(tight->fits());
  EXPECT_EQ(tight->largest_context, 32);
  const auto none = FitOf(*model, *backend_, options, *plan, 1000);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(none->largest_context, 0);
}

// Pages of a mapped file that are in memory.
size_t ResidentPages(absl::Span<const std::byte> data) {
  constexpr uintptr_t kPage = 4096;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(data.data()) / kPage * kPage;
  const uintptr_t end = reinterpret_cast<uintptr_t>(data.data() + data.size());
  std::vector<unsigned char> resident((end - begin + kPage - 1) / kPage);
  EXPECT_EQ(mincore(reinterpret_cast<void*>(begin), end - begin, resident.data()), 0);
  return static_cast<size_t>(std::count_if(resident.begin(), resident.end(),
                                           [](unsigned char page) { return (page & 1) != 0; }));
}

TEST_F(Inspect, NeverReadsWeights) {
  const std::string path = absl::StrCat(testing::TempDir(), "sluice.inspect.", getpid(), ".gguf");
  ASSERT_TRUE(WriteShapedModel(*FindModelShape("qwen3-30b-a3b"),
                               {.mix = FindQuantisationMix("Q4_K_M"), .metadata_only = true}, path)
                  .ok());
  const auto model = Model::Load(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(model.ok()) << model.status();
  const Inspection inspection = Of(**model);
  EXPECT_EQ(inspection.parameters.total, 30'532'122'624);
  // 128 experts, 8 used, of 3 * 2048 * 768 in 48 layers.
  EXPECT_EQ(inspection.parameters.active, 30'532'122'624 - 48LL * 120 * 3 * 2048 * 768);
  size_t resident = 0;
  const WeightSource& file = (*model)->file();
  // The first tensors share pages and read-ahead with the file's head.
  for (const StoredTensor& tensor : file.tensors().subspan(1)) {
    resident += ResidentPages(file.Data(tensor));
  }
  EXPECT_EQ(resident, 0u);
}

// Work for each node of a graph: two dispatches for a product, one for anything else.
std::vector<StepWork> WorkOf(const Graph& graph) {
  std::vector<StepWork> work = {{.copies = 1}};
  for (const auto& node : graph.nodes()) {
    const int64_t dispatches = node->op().name == "mul" ? 2 : 1;
    work.push_back({.node = node.get(), .dispatches = dispatches, .barriers = 1});
  }
  work.push_back({.copies = 1, .barriers = 1});
  return work;
}

TEST_F(Inspect, ReportsSayTheSameAsTheFigures) {
  const auto model = Load(ModelFile("llama").Text("general.name", "a \x1b[31m name"));
  Inspection inspection = Of(*model);
  const ReportOptions options = {.all_metadata = true,
                                 .ceiling = Ceiling{.threads = 2,
                                                    .transfers = {{1, 2e9}, {1000, 1e9}},
                                                    .operations_per_second = {1e12, 1e12, 4e12}}};
  const auto json = nlohmann::json::parse(InspectionJson(*model, inspection, options));
  EXPECT_EQ(json["parameters"]["total"], kAll);
  EXPECT_EQ(json["memory"]["cache"], 64 * 64);
  EXPECT_EQ(json["memory"]["buckets"].size(), inspection.plan.buckets.size());
  EXPECT_EQ(json["memory"]["buckets"][0]["arena"], inspection.plan.buckets[0].memory.arena);
  EXPECT_EQ(json["peak"]["total"], inspection.peak.total());
  EXPECT_EQ(json["fit"]["fits"], inspection.fit.fits());
  EXPECT_EQ(json["decode"][0]["parts"]["qkv"]["flops"], 4096);
  const OpCost& total = inspection.decode[0].cost.total;
  EXPECT_DOUBLE_EQ(json["decode"][0]["tokens_per_second_bound"],
                   1e9 / (total.bytes_read + total.bytes_written));
  EXPECT_EQ(json["metadata"]["llama.block_count"], "1");
  EXPECT_FALSE(json.contains("schedule"));  // the host calls the CPU's kernels

  const std::string text = InspectionText(*model, inspection, options);
  EXPECT_THAT(text, HasSubstr("fits: a full context of 64 tokens needs "));
  EXPECT_THAT(text, HasSubstr("tokenizer.ggml.tokens = [6 string] a, b, c, d, e, f"));
  EXPECT_THAT(text, testing::Not(HasSubstr("\x1b")));
  inspection.schedule = ScheduleByLayer(WorkOf(inspection.plan.buckets[0].graph));
  EXPECT_EQ(nlohmann::json::parse(InspectionJson(*model, inspection, {}))["schedule"]["copies"], 2);
  EXPECT_THAT(InspectionText(*model, inspection, {}), HasSubstr("The device's work in a step"));
  inspection.fit = {.needed = 3 << 20, .available = 2 << 20, .largest_context = 48};
  inspection.machine = {.available = 2 << 20, .limited_by = "control group /x"};
  EXPECT_THAT(InspectionText(*model, inspection, {}),
              HasSubstr("does not fit: a full context of 64 tokens needs 3.00 MiB, 2.00 MiB "
                        "available (control group /x); -c 48 would fit"));
}

TEST(Schedule, LayersWithTheSameWorkAreOfOneKind) {
  const auto graph = Parse(
      "graph g\ninput %x : f32[4]\n%e = scale(%x) {factor=2.0} : f32[4]\n"
      "%l0.a = silu(%e) : f32[4]\n%l0.y = mul(%l0.a, %e) : f32[4]\n"
      "%l1.a = silu(%l0.y) : f32[4]\n%l1.y = mul(%l1.a, %e) : f32[4]\n"
      "%l2.a = gelu(%l1.y) : f32[4]\n%l2.y = mul(%l2.a, %e) : f32[4]\n"
      "%l3.a = silu(%l2.y) : f32[4]\n%l3.y = mul(%l3.a, %e) : f32[4]\noutput %l3.y\n",
      "test");
  ASSERT_TRUE(graph.ok()) << graph.status();
  const StepSchedule schedule = ScheduleByLayer(WorkOf(*graph));
  EXPECT_EQ(schedule.total.dispatches, 4 * 3 + 1);
  EXPECT_EQ(schedule.total.copies, 2);
  EXPECT_EQ(schedule.total.barriers, 10);
  ASSERT_EQ(schedule.kinds.size(), 3u);
  EXPECT_EQ(schedule.kinds[0].layers, (std::vector<int>{0, 1, 3}));
  EXPECT_EQ(schedule.kinds[0].Sum().dispatches, 3);
  EXPECT_EQ(schedule.kinds[0].nodes[1].op, "mul");
  EXPECT_EQ(schedule.kinds[1].layers, std::vector<int>{2});
  EXPECT_EQ(schedule.kinds[2].layers, std::vector<int>{});
  EXPECT_EQ(schedule.kinds[2].nodes.size(), 3u);  // inputs, %e, outputs
  EXPECT_TRUE(ScheduleByLayer({}).kinds.empty());
}

TEST(Schedule, LayersAreWrittenAsRanges) {
  EXPECT_EQ(LayersText({}), "none");
  EXPECT_EQ(LayersText({7}), "7");
  EXPECT_EQ(LayersText({0, 1, 2, 5, 7, 8}), "0-2, 5, 7-8");
}

TEST(Units, AreScaledToReadableNumbers) {
  EXPECT_EQ(BytesText(512), "512 B");
  EXPECT_EQ(BytesText(1536), "1.50 KiB");
  EXPECT_EQ(BytesText(5.0 * (1 << 30)), "5.00 GiB");
  EXPECT_EQ(CountText(999), "999");
  EXPECT_EQ(CountText(30.5e9), "30.50 G");
}

TEST(Tables, LineUp) {
  EXPECT_EQ(MarkdownTable({{"name", "n"}, {"a", "1234"}}),
            "| name |    n |\n|:-----|-----:|\n| a    | 1234 |\n");
}

TEST(Ceilings, AreThereForEveryNumberOfThreads) {
  const auto ceilings = MeasureCeilings(MakeCpuBackend({.threads = 1})->caps(), {1, 2});
  ASSERT_EQ(ceilings.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(ceilings[i].threads, i + 1);
    for (const double rate : ceilings[i].operations_per_second) EXPECT_GT(rate, 0);
    ASSERT_GT(ceilings[i].transfers.size(), 1u);
    for (size_t k = 1; k < ceilings[i].transfers.size(); ++k) {
      const TransferRate &less = ceilings[i].transfers[k - 1], &more = ceilings[i].transfers[k];
      EXPECT_LT(less.bytes, more.bytes);
      EXPECT_GE(less.bytes_per_second, more.bytes_per_second);
      EXPECT_GT(more.bytes_per_second, 0);
    }
  }
}

// Rates that nobody measured.
const Ceiling kMadeUp = {.threads = 1,
                         .transfers = {{1000, 400}, {4000, 200}, {64000, 50}},
                         .operations_per_second = {100, 200, 800}};

TEST(Ceilings, TransfersAreThoseOfTheBytesThatAreGoneOver) {
  EXPECT_EQ(kMadeUp.BytesPerSecond(1), 400) << "less than was measured";
  EXPECT_EQ(kMadeUp.BytesPerSecond(1000), 400);
  EXPECT_EQ(kMadeUp.BytesPerSecond(3999), 400) << "may be as near as 1000 are";
  EXPECT_EQ(kMadeUp.BytesPerSecond(4000), 200);
  EXPECT_EQ(kMadeUp.BytesPerSecond(1e9), 50);
  EXPECT_EQ(kMadeUp.MemoryBytesPerSecond(), 50);
  EXPECT_EQ(TransferSeconds(kMadeUp, {.bytes_read = 600, .bytes_written = 200}), 2);
  EXPECT_EQ(TransferSeconds(kMadeUp, {.bytes_read = 6000, .bytes_written = 2000}), 40);
  EXPECT_EQ(TransferSeconds({}, {.bytes_read = 600}), 0) << "not known";
}

TEST(Ceilings, ArithmeticIsHeldAgainstItsOwnKind) {
  const OpCost cost = {.flops = 1600};
  EXPECT_EQ(ComputeSeconds(kMadeUp, cost, Arithmetic::kF32), 16);
  EXPECT_EQ(ComputeSeconds(kMadeUp, cost, Arithmetic::kBf16), 8);
  EXPECT_EQ(ComputeSeconds(kMadeUp, cost, Arithmetic::kInt8), 2);
  EXPECT_EQ(ComputeSeconds({}, cost, Arithmetic::kF32), 0) << "not known";

  const auto graph = Parse(
      "graph g\ninput %x : f32[4]\n%a = silu(%x) : f32[4] kernel(\"codes\")\n"
      "%b = silu(%a) : f32[4] kernel(\"floats\")\n%c = silu(%b) : f32[4]\noutput %c\n",
      "test");
  ASSERT_TRUE(graph.ok()) << graph.status();
  KernelSet kernels;
  kernels.Add({.name = "codes", .op = "silu", .layout = "x16"});
  kernels.Add({.name = "floats", .op = "silu"});
  std::vector<Arithmetic> found;
  for (const auto& node : graph->nodes()) found.push_back(ArithmeticOf(*node, &kernels));
  EXPECT_THAT(found, testing::ElementsAre(Arithmetic::kInt8, Arithmetic::kF32, Arithmetic::kF32));
  EXPECT_EQ(ArithmeticOf(*graph->nodes()[0], nullptr), Arithmetic::kF32);

  const auto cost_of = CostOfStep(*graph, {}, &kernels);
  ASSERT_TRUE(cost_of.ok()) << cost_of.status();
  const auto flops = [&](Arithmetic kind) { return cost_of->flops[static_cast<size_t>(kind)]; };
  EXPECT_EQ(flops(Arithmetic::kF32), 2 * flops(Arithmetic::kInt8));
  EXPECT_EQ(flops(Arithmetic::kF32) + flops(Arithmetic::kInt8), cost_of->total.flops);
  // A third of the operations at 800 a second, two thirds at 100: longer than 96 bytes at 400.
  EXPECT_DOUBLE_EQ(DecodeBound(*cost_of, kMadeUp), 1 / (16.0 / 800 + 32.0 / 100));
}

}  // namespace
}  // namespace sluice
