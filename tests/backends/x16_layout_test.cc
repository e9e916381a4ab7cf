// Weights in the layout x16: packing loses nothing, products agree with the reference on every
// instruction set that the machine has, and executables share what is packed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/substitute.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/kernels/product_cost.h"
#include "backends/cpu/kernels/x16_product.h"
#include "backends/cpu/layouts.h"
#include "backends/ref/ref_backend.h"
#include "graph/formats/quantize.h"
#include "graph/ops/linear.h"
#include "graph/text.h"
#include "tests/support/isas.h"
#include "tests/support/op_cases.h"

namespace sluice {
namespace {

using cpu::CpuLayout;
using cpu::X16Format;
using cpu::X16Isa;
using testing::HasSubstr;

std::vector<const X16Isa*> AllIsas() {
  std::vector<const X16Isa*> isas;
  for (const CpuOptions& options : OptionsForAllIsas(1)) {
    isas.push_back(&cpu::X16IsaFor(MakeCpuBackend(options)->caps()));
  }
  return isas;
}

CpuLayout X16() {
  std::vector<CpuLayout> layouts;
  cpu::AddLayouts(&layouts);
  return layouts.at(0);
}

std::vector<std::byte> RandomWeight(const TensorType& type) {
  int64_t elements = 1;
  for (const Dim& dim : type.shape) elements *= dim.factor();
  std::vector<std::byte> bytes(static_cast<size_t>(*ByteSize(type.dtype, elements)));
  EXPECT_TRUE(FillRandomBlocks(type.dtype, 7, 0.05F, absl::MakeSpan(bytes)).ok());
  return bytes;
}

const cpu::PartPacked kIgnore = [](absl::Span<const std::byte>, int64_t) {};

std::unique_ptr<HostBuffer> Pack(const TensorType& type, const TensorView& view) {
  const CpuLayout x16 = X16();
  auto buffer = HostBuffer::Create(x16.record.bytes(type));
  EXPECT_TRUE(buffer.ok()) << buffer.status();
  x16.pack(view, (*buffer)->host(), cpu::Threads(2), kIgnore);
  return *std::move(buffer);
}

TEST(X16, ChoosesTheInstructionSetByTheFeatures) {
  proto::DeviceCaps caps;
  EXPECT_STREQ(cpu::X16IsaFor(caps).name, "portable");
#if defined(__x86_64__)
  caps.add_features("avx2");
  caps.add_features("fma");
  EXPECT_STREQ(cpu::X16IsaFor(caps).name, "portable") << "without F16C";
  caps.add_features("f16c");
  EXPECT_STREQ(cpu::X16IsaFor(caps).name, "avx2");
  caps.add_features("avx512f");
  caps.add_features("avx512bw");
  EXPECT_STREQ(cpu::X16IsaFor(caps).name, "avx512");
  caps.add_features("avx512vnni");
  EXPECT_STREQ(cpu::X16IsaFor(caps).name, "avx512vnni");
#endif
}

class X16Formats : public testing::TestWithParam<X16Format> {};

// 37 rows: the last strip has five.
TEST_P(X16Formats, DecodesToTheValuesOfTheFile) {
  constexpr int64_t kRows = 37, kCols = 512;
  const TensorType type{.dtype = GetParam().dtype, .shape = {Dim(kRows), Dim(kCols)}};
  std::vector<std::byte> weight = RandomWeight(type);
  std::vector<float> expected(kRows * kCols), got(kRows * kCols);
  DequantizerFor(type.dtype)(weight.data(), kRows * kCols, expected.data());
  const auto packed = Pack(type, {type.dtype, {kRows, kCols}, weight.data(), {}});
  const cpu::X16Matrix matrix{cpu::X16FormatIndex(type.dtype), nullptr, packed->host(), kCols};
  for (int64_t row = 0; row < kRows; ++row) {
    cpu::DecodeX16Row(matrix, row, got.data() + row * kCols);
  }
  EXPECT_EQ(got, expected);  // but for the sign of zero, which == does not see
}

// The instruction sets, and whether strips are expanded for them.
std::vector<std::pair<const X16Isa*, bool>> AllWays() {
  std::vector<std::pair<const X16Isa*, bool>> ways;
  for (const X16Isa* isa : AllIsas()) {
    ways.emplace_back(isa, false);
    if (isa->can_expand) ways.emplace_back(isa, true);
  }
  return ways;
}

// The numbers that a tile stands for.
std::vector<float> ValuesOfTile(const std::byte* tile, int rows, int64_t cols) {
  std::vector<float> values(static_cast<size_t>(rows * cols));
  for (int64_t col = 0; col < cols; col += cpu::kChunk, tile += cpu::kQ8ChunkBytes * rows) {
    const auto* scales = reinterpret_cast<const float*>(tile + cpu::kChunk * rows);
    for (int i = 0; i < rows; ++i) {
      for (int c = 0; c < cpu::kChunk; ++c) {
        const auto code = static_cast<int8_t>(tile[(c / 4 * rows + i) * 4 + c % 4]);
        values[static_cast<size_t>(i * cols + col + c)] = static_cast<float>(code) * scales[i];
      }
    }
  }
  return values;
}

// With activations rounded to 8 bits, sums of a chunk are exact integers: what is left are the
// float32 roundings of one sum per chunk, about 1e-7 each, squared in the NMSE.
TEST_P(X16Formats, ProductsAreThoseOfTheRoundedActivations) {
  constexpr int64_t kRows = 37, kCols = 512;
  const TensorType type{.dtype = GetParam().dtype, .shape = {Dim(kRows), Dim(kCols)}};
  std::vector<std::byte> weight = RandomWeight(type);
  std::vector<float> w(kRows * kCols), x(cpu::kTileRows * kCols);
  DequantizerFor(type.dtype)(weight.data(), kRows * kCols, w.data());
  const auto packed = Pack(type, {type.dtype, {kRows, kCols}, weight.data(), {}});
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (float& value : x) value = normal(random);
  std::vector<std::byte> expanded(
      static_cast<size_t>((kRows + 15) / 16 * cpu::MostExpandedStripBytes(kCols)));
  for (auto [isa, expands] : AllWays()) {
    const cpu::X16Matrix matrix{cpu::X16FormatIndex(type.dtype), isa, packed->host(), kCols};
    const cpu::X16Rows ready = expands ? cpu::ExpandRows(matrix, 0, kRows, expanded.data())
                                       : cpu::RowsOf(matrix, 0, kRows);
    for (int rows = 1; rows <= cpu::kTileRows; ++rows) {
      SCOPED_TRACE(absl::StrCat(isa->name, expands ? " expanded, " : ", ", rows, " rows"));
      std::vector<std::byte> tile(static_cast<size_t>(cpu::Q8Bytes(rows, kCols)));
      isa->quantize(x.data(), rows, kCols, tile.data());
      const std::vector<float> rounded = ValuesOfTile(tile.data(), rows, kCols);
      std::vector<float> got(static_cast<size_t>(rows * kRows));
      cpu::MultiplyX16(ready, tile.data(), rows, got.data(), kRows);
      double difference = 0, size = 0;
      for (int64_t i = 0; i < rows * kRows; ++i) {
        const double expected =
            std::inner_product(w.begin() + i % kRows * kCols, w.begin() + (i % kRows + 1) * kCols,
                               rounded.begin() + i / kRows * kCols, 0.0);
        difference += std::pow(got[static_cast<size_t>(i)] - expected, 2);
        size += expected * expected;
      }
      EXPECT_LT(difference, 1e-12 * size);
    }
  }
}

TEST_P(X16Formats, PiecesPackLikeTheWhole) {
  constexpr int64_t kExperts = 3, kRows = 20, kCols = 256;
  const TensorType type{.dtype = GetParam().dtype,
                        .shape = {Dim(kExperts), Dim(kRows), Dim(kCols)}};
  std::vector<std::byte> weight = RandomWeight(type);
  const TensorView whole{type.dtype, {kExperts, kRows, kCols}, weight.data(), {}};
  std::vector<std::vector<std::byte>> pieces;
  std::vector<const std::byte*> slices;
  for (int64_t e = 0; e < kExperts; ++e) {
    const std::byte* begin = whole.Slice(e);
    pieces.emplace_back(begin, begin + whole.bytes() / kExperts);
    slices.push_back(pieces.back().data());
  }
  TensorView parts = whole;
  parts.data = nullptr;
  parts.slices = slices;
  const auto expected = Pack(type, whole), got = Pack(type, parts);
  EXPECT_TRUE(std::equal(got->host(), got->host() + got->bytes(), expected->host()));
}

// What prepack_weights goes by. The portable code gains too little to be sure of it.
TEST_P(X16Formats, FewRowsAreEstimatedToBeFaster) {
  for (const CpuOptions& options : OptionsForAllIsas(2)) {
    const auto caps = MakeCpuBackend(options)->caps();
    if (&cpu::X16IsaFor(caps) == cpu::kX16Portable) continue;
    for (int64_t rows : {1, 2, 4, 8}) {
      const auto seconds = [&](cpu::Layout layout) {
        return cpu::ProductSeconds(layout, GetParam().dtype, 4096, 1024, rows, caps);
      };
      EXPECT_LT(seconds(cpu::Layout::kX16), seconds(cpu::Layout::kFile)) << rows;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, X16Formats, testing::ValuesIn(cpu::kX16Formats),
                         [](const auto& test) { return std::string(Name(test.param.dtype)); });

TEST(X16, RefusesOtherFormats) {
  const absl::Status status =
      X16().record.accepts({.dtype = DType::kF16, .shape = {Dim(32), Dim(32)}});
  EXPECT_THAT(std::string(status.message()), HasSubstr("f16"));
}

// --- Products -------------------------------------------------------------------------------

// Gives every weight that may have a layout x16; false if one of them cannot have it.
bool SetLayouts(Graph* graph) {
  const CpuLayout x16 = X16();
  bool any = false;
  for (const auto& node : graph->nodes()) {
    for (size_t i = 0; i < node->operands().size(); ++i) {
      if (!IsPackable(node->op(), i)) continue;
      if (!x16.record.accepts(node->operand(i)->type()).ok()) return false;
      node->operand(i)->set_layout("x16");
      any = true;
    }
  }
  return any;
}

// All formats and numbers of rows on both sides of what a tile takes, with output rows that are no
// multiple of 16 and some that are fewer.
std::vector<OpCase> CasesOfAllSizes() {
  std::vector<OpCase> cases;
  for (const X16Format& format : cpu::kX16Formats) {
    for (int tokens : {1, 3, 8, 9, 40}) {
      const absl::string_view name = Name(format.dtype);
      cases.push_back(
          {absl::Substitute("sizes/$0/$1", name, tokens),
           absl::Substitute("graph case\nsymbol tokens <= $1\ninput %x : f32[tokens,512]\n"
                            "input %id : i32[tokens,2]\nweight @w : $0[100,512]\n"
                            "weight @b : f32[100]\nweight @few : $0[7,512]\n"
                            "weight @experts : $0[4,37,512]\n"
                            "%y = matmul(%x, @w, @b) : f32[tokens,100]\n"
                            "%z = matmul(%x, @few) : f32[tokens,7]\n"
                            "%e = indexed_expert_matmul(%x, @experts, %id) : f32[tokens*2,37]\n"
                            "output %y\noutput %z\noutput %e\n",
                            name, tokens),
           {{"id", {0, 3}}}});
    }
  }
  return cases;
}

std::vector<OpCase> PackableCases() {
  std::vector<OpCase> cases = AllOpCases();
  std::erase_if(cases, [](const OpCase& test) {
    absl::StatusOr<Graph> graph = Parse(test.text, test.name);
    return !graph.ok() || !SetLayouts(&*graph);
  });
  for (OpCase& test : CasesOfAllSizes()) cases.push_back(std::move(test));
  return cases;
}

// Activations are rounded to multiples of a 127th of the largest of 32: an error of at most half of
// that, evenly spread, has the variance max^2 / (12 * 127^2), 5e-6 of the variance where all
// magnitudes are alike and 2e-5 to 5e-5 for random ones. A glu's two factors have it, and the
// matrix after it.
constexpr double kRoundingNmse = 2e-4;

class X16Parity : public testing::TestWithParam<OpCase> {};

TEST_P(X16Parity, AgreesWithReference) {
  const OpCase& test = GetParam();
  absl::StatusOr<Graph> graph = Parse(test.text, test.name);
  ASSERT_TRUE(graph.ok()) << graph.status();
  auto data = RandomData::Make(*graph, 1, test.ranges);
  ASSERT_TRUE(data.ok()) << data.status();
  const auto expected = data->Run(*MakeRefBackend(), *graph);
  ASSERT_TRUE(expected.ok()) << expected.status();
  Graph packed = graph->Clone();
  ASSERT_TRUE(SetLayouts(&packed));
  const auto rounded = data->Run(*MakeRefBackend({.round_activations = true}), packed);
  ASSERT_TRUE(rounded.ok()) << rounded.status();
  for (const CpuOptions& options : OptionsForAllIsas(3)) {
    const std::unique_ptr<Backend> cpu = MakeCpuBackend(options);
    SCOPED_TRACE(cpu::X16IsaFor(cpu->caps()).name);
    Graph compiled = graph->Clone();
    ASSERT_TRUE(SetLayouts(&compiled));
    const absl::Status status = CompileFor(*cpu, &compiled);
    ASSERT_TRUE(status.ok()) << status;
    const auto got = data->Run(*cpu, compiled);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_LT(Nmse(*expected, *got), kRoundingNmse);
    // As in backend_parity_test: roundings of float32 sums, squared, are about 2e-12.
    EXPECT_LT(Nmse(*rounded, *got), 1e-11);
  }
}

INSTANTIATE_TEST_SUITE_P(All, X16Parity, testing::ValuesIn(PackableCases()),
                         [](const testing::TestParamInfo<OpCase>& test) {
                           return absl::StrReplaceAll(test.param.name, {{"/", "_"}});
                         });

TEST(X16, EveryKernelForItIsInSomeCase) {
  const std::unique_ptr<Backend> cpu = MakeCpuBackend({.threads = 1});
  std::set<std::string> covered;
  for (const OpCase& test : PackableCases()) {
    absl::StatusOr<Graph> graph = Parse(test.text, test.name);
    ASSERT_TRUE(graph.ok()) << graph.status();
    SetLayouts(&*graph);
    ASSERT_TRUE(CompileFor(*cpu, &*graph).ok());
    for (const auto& node : graph->nodes()) covered.insert(node->kernel());
  }
  for (const Kernel& kernel : cpu->kernels()->kernels()) {
    if (kernel.layout != "x16" || covered.contains(kernel.name)) continue;
    ADD_FAILURE() << kernel.name << " is in no case";
  }
}

// --- The store ------------------------------------------------------------------------------

TEST(PackedWeights, ArePackedOnceWhileSomebodyUsesThem) {
  static int packings;
  packings = 0;
  const CpuLayout counting{
      {.name = "counting", .bytes = [](const TensorType&) -> int64_t { return 64; }},
      [](const TensorView&, std::byte*, const cpu::Threads&, const cpu::PartPacked&) {
        ++packings;
      }};
  const TensorType type{.dtype = DType::kQ8_0, .shape = {Dim(16), Dim(32)}};
  const TensorType reshaped{.dtype = DType::kQ8_0, .shape = {Dim(8), Dim(64)}};
  std::vector<std::byte> weight = RandomWeight(type);
  const TensorView view{type.dtype, {16, 32}, weight.data(), {}};
  const cpu::Threads threads(1);
  cpu::PackedWeights store;
  {
    const auto first = store.Get(counting, type, view, threads, kIgnore);
    const auto second = store.Get(counting, type, view, threads, kIgnore);
    ASSERT_TRUE(first.ok() && second.ok());
    EXPECT_EQ(first->get(), second->get());
    EXPECT_EQ(packings, 1);
    ASSERT_TRUE(store.Get(counting, reshaped, view, threads, kIgnore).ok());
    EXPECT_EQ(packings, 2) << "the same bytes as another weight";
  }
  ASSERT_TRUE(store.Get(counting, type, view, threads, kIgnore).ok());
  EXPECT_EQ(packings, 3) << "nobody had it any more";
}

class X16Executables : public testing::Test {
 protected:
  void SetUp() override {
    auto graph = Parse(
        "graph g\nsymbol tokens <= 2\ninput %x : f32[tokens,256]\nweight @w : q4_k[20,256]\n"
        "%y = matmul(%x, @w) : f32[tokens,20]\noutput %y\n");
    ASSERT_TRUE(graph.ok()) << graph.status();
    graph_ = *std::move(graph);
    auto data = RandomData::Make(graph_, 1);
    ASSERT_TRUE(data.ok()) << data.status();
    weights_ = data->weights();
    data_.push_back(*std::move(data));
    SetLayouts(&graph_);
    ASSERT_TRUE(CompileFor(*cpu_, &graph_).ok());
  }

  std::unique_ptr<Backend> cpu_ = MakeCpuBackend({.threads = 1});
  Graph graph_;
  std::vector<RandomData> data_;  // owns what weights_ refers to
  WeightTable weights_;
};

// Quiet nonsense would be worse.
TEST(Q8Tiles, NumbersThatAreNotFiniteGiveNaN) {
  for (const X16Isa* isa : AllIsas()) {
    for (float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
      std::vector<float> x(64, 1.0F);
      x[40] = bad;
      std::vector<std::byte> tile(static_cast<size_t>(cpu::Q8Bytes(1, 64)));
      isa->quantize(x.data(), 1, 64, tile.data());
      const std::vector<float> values = ValuesOfTile(tile.data(), 1, 64);
      EXPECT_EQ(values[0], 1) << isa->name;
      EXPECT_TRUE(std::isnan(values[33])) << isa->name;
    }
  }
}

TEST(Q8Tiles, TinyNumbersAreZeros) {
  for (const X16Isa* isa : AllIsas()) {
    std::vector<float> x(32, 1e-40F);
    std::vector<std::byte> tile(static_cast<size_t>(cpu::Q8Bytes(1, 32)));
    isa->quantize(x.data(), 1, 32, tile.data());
    EXPECT_EQ(ValuesOfTile(tile.data(), 1, 32), std::vector<float>(32, 0)) << isa->name;
  }
}

// Shows that packing happened once by changing the file's bytes in between.
TEST_F(X16Executables, OfOneBackendShareWeights) {
  const auto first = cpu_->Compile(graph_.Clone(), weights_);
  ASSERT_TRUE(first.ok()) << first.status();
  // 2 strips of a block of 16 x 256, each row of which takes what it takes in the file.
  EXPECT_EQ((*first)->memory().packed, 2 * 16 * 144);
  EXPECT_EQ((*first)->memory().weights, 0);
  const auto bytes = weights_.at("w")[0];
  std::fill_n(const_cast<std::byte*>(bytes.data()), bytes.size(), std::byte{0});
  const auto second = cpu_->Compile(graph_.Clone(), weights_);
  ASSERT_TRUE(second.ok()) << second.status();

  std::vector<float> x(256, 1.0F);
  const TensorView input{DType::kF32, {1, 256}, reinterpret_cast<std::byte*>(x.data()), {}};
  RunArgs args{.inputs = {&input, 1}};
  args.symbols.Set("tokens", 1);
  ASSERT_TRUE((*first)->Run(args).ok());
  ASSERT_TRUE((*second)->Run(args).ok());
  const float* y = (*first)->output(0)->f32();
  EXPECT_NE(y[0], 0);
  EXPECT_TRUE(std::equal(y, y + 20, (*second)->output(0)->f32()));
}

// Packed now or before: a progress bar comes to its end.
TEST_F(X16Executables, SayWhenAllIsPacked) {
  std::vector<int64_t> left;
  const auto cpu = MakeCpuBackend({.threads = 1, .on_packed = [&](const PackEvent& event) {
                                     left.push_back(event.total - event.done);
                                   }});
  const auto first = cpu->Compile(graph_.Clone(), weights_);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_THAT(left, testing::ElementsAre(0));
  const auto second = cpu->Compile(graph_.Clone(), weights_);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_THAT(left, testing::ElementsAre(0, 0));
}

class WeightReader : public RunObserver {
 public:
  void OnNode(const Node&, absl::Span<const TensorView> operands, absl::Span<const TensorView>,
              double) override {
    data = FromViews<MatmulCall>(operands).weight.data;
  }
  const std::byte* data = nullptr;
};

TEST_F(X16Executables, ShowObserversTheWeightsOfTheFile) {
  const auto executable = cpu_->Compile(graph_.Clone(), weights_);
  ASSERT_TRUE(executable.ok()) << executable.status();
  std::vector<float> x(256, 1.0F);
  const TensorView input{DType::kF32, {1, 256}, reinterpret_cast<std::byte*>(x.data()), {}};
  WeightReader reader;
  RunArgs args{.inputs = {&input, 1}, .observer = &reader};
  args.symbols.Set("tokens", 1);
  ASSERT_TRUE((*executable)->Run(args).ok());
  EXPECT_EQ(reader.data, weights_.at("w")[0].data());
}

TEST_F(X16Executables, UnknownLayoutsAreErrors) {
  graph_.weights()[0]->set_layout("x17");
  const absl::Status status = cpu_->Compile(graph_.Clone(), weights_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("@w"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("x17"));
}

}  // namespace
}  // namespace sluice
