// Vector mathematics and attention of every instruction set that the machine has: functions against
// those of the standard library in float64, attention against the reference backend.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/kernels/vector_isa.h"
#include "backends/ref/ref_backend.h"
#include "graph/formats/dequantize.h"
#include "graph/formats/half.h"
#include "graph/formats/quantize.h"
#include "graph/text.h"
#include "passes/pipeline.h"
#include "tests/support/isas.h"
#include "tools/debug/random_data.h"

namespace sluice {
namespace {

using cpu::VectorIsa;
using cpu::VectorMath;

std::string IsaName(const CpuOptions& options) {
  return cpu::VectorIsaFor(MakeCpuBackend(options)->caps()).name;
}

TEST(VectorIsa, IsChosenByTheFeatures) {
  proto::DeviceCaps caps;
  EXPECT_STREQ(cpu::VectorIsaFor(caps).name, "portable");
#if defined(__x86_64__)
  caps.add_features("avx2");
  caps.add_features("fma");
  EXPECT_STREQ(cpu::VectorIsaFor(caps).name, "portable") << "without F16C";
  caps.add_features("f16c");
  EXPECT_STREQ(cpu::VectorIsaFor(caps).name, "avx2");
  caps.add_features("avx512f");
  EXPECT_STREQ(cpu::VectorIsaFor(caps).name, "avx512");
#endif
}

// --- Functions ------------------------------------------------------------------------------

std::vector<float> RandomFloats(size_t n, float low, float high, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> numbers(low, high);
  std::vector<float> x(n);
  for (float& value : x) value = numbers(random);
  return x;
}

// The distance from the exact value in units of the last place that a float of its size has.
double Ulps(double exact, float got) {
  const double size = std::max(std::abs(exact), double{std::numeric_limits<float>::min()});
  return std::abs(got - exact) / std::ldexp(1.0, std::ilogb(size) - 23);
}

// Lengths with and without a part of a vector at the end.
constexpr int64_t kLengths[] = {1, 3, 16, 37, 64, 100, 129};

class VectorMathTest : public testing::TestWithParam<CpuOptions> {
 protected:
  const VectorMath& math_ = cpu::VectorIsaFor(MakeCpuBackend(GetParam())->caps()).math;

  // y[i] = function(x[i]) within `ulps`, for every length, and nothing written beyond.
  template <typename Function, typename Exact>
  void ExpectClose(const Function& function, const Exact& exact, double ulps, float low,
                   float high) {
    for (const int64_t n : kLengths) {
      const std::vector<float> x = RandomFloats(static_cast<size_t>(n), low, high);
      std::vector<float> y(static_cast<size_t>(n) + 1, -7);
      function(x.data(), n, y.data());
      for (size_t i = 0; i < x.size(); ++i) {
        EXPECT_LE(Ulps(exact(double{x[i]}), y[i]), ulps) << "of " << x[i] << ", length " << n;
      }
      EXPECT_EQ(y.back(), -7) << "length " << n;
    }
  }
};

TEST_P(VectorMathTest, ExpIsWithinTwoUlps) {
  constexpr int64_t kCount = 4001;
  double worst = 0;
  for (float x = -104; x < 88.7F; x += 1) {
    std::vector<float> arguments(kCount), y(kCount);
    for (size_t i = 0; i < kCount; ++i) arguments[i] = x + static_cast<float>(i) / kCount;
    math_.exp(arguments.data(), kCount, y.data());
    for (size_t i = 0; i < kCount; ++i) {
      if (arguments[i] < 88.72F) {  // the largest float is exp(88.7228)
        worst = std::max(worst, Ulps(std::exp(double{arguments[i]}), y[i]));
      }
    }
  }
  // Measured: 0.98 with multiply-add, 0.96 without.
  EXPECT_LE(worst, 2.0);
  RecordProperty("worst_ulps", absl::StrCat(worst));
}

TEST_P(VectorMathTest, ExpOfSpecialValues) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {0, -0.0F, infinity, -infinity, 1e30F, -1e30F, std::nanf("")};
  std::vector<float> y(x.size());
  math_.exp(x.data(), static_cast<int64_t>(x.size()), y.data());
  EXPECT_THAT(y, testing::ElementsAre(1, 1, infinity, 0, infinity, 0, testing::IsNan()));
}

// The quotient and the sum below it add half a unit each, and the gelu's argument is rounded three
// times, which weighs by its size, of up to 7 where the result is not yet x or 0.
TEST_P(VectorMathTest, Activations) {
  const auto silu = [](double x) { return x / (1 + std::exp(-x)); };
  const auto gelu = [](double x) {
    const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    return x / (1 + std::exp(-2 * u));
  };
  ExpectClose(math_.silu, silu, 4, -20, 20);
  ExpectClose(math_.gelu_tanh, gelu, 25, -3, 20);
  const auto gated = [](auto gate) {
    return [gate](const float* x, int64_t n, float* y) {
      std::fill_n(y, n, 2.0F);
      gate(x, n, y);
    };
  };
  ExpectClose(
      gated(math_.silu_gate), [&](double x) { return 2 * silu(x); }, 4, -20, 20);
  ExpectClose(
      gated(math_.gelu_tanh_gate), [&](double x) { return 2 * gelu(x); }, 25, -3, 20);
}

TEST_P(VectorMathTest, RowsOfProductsAndSums) {
  for (const int64_t n : kLengths) {
    const auto size = static_cast<size_t>(n);
    const std::vector<float> a = RandomFloats(size, -1, 1, 1), b = RandomFloats(size, -1, 1, 2);
    std::vector<float> sum(size), product(size), scaled(size), added = b;
    math_.add(a.data(), b.data(), n, sum.data());
    math_.mul(a.data(), b.data(), n, product.data());
    math_.scale(a.data(), 3, n, scaled.data());
    math_.add_scaled(a.data(), 3, n, added.data());
    for (size_t i = 0; i < size; ++i) {
      EXPECT_EQ(sum[i], a[i] + b[i]);
      EXPECT_EQ(product[i], a[i] * b[i]);
      EXPECT_EQ(scaled[i], a[i] * 3);
      EXPECT_NEAR(added[i], double{b[i]} + 3 * double{a[i]}, 4e-7);  // two roundings of up to 4
    }
  }
}

TEST_P(VectorMathTest, Softmax) {
  for (const int64_t n : kLengths) {
    const std::vector<float> x = RandomFloats(static_cast<size_t>(n), -30, 30);
    std::vector<float> y(x.size());
    math_.softmax(x.data(), n, y.data());
    double sum = 0;
    for (const float value : x) sum += std::exp(double{value});
    for (size_t i = 0; i < x.size(); ++i) {
      // The difference of the argument and the largest is rounded: 60 * 2^-24 relative.
      EXPECT_NEAR(y[i] / (std::exp(double{x[i]}) / sum), 1, 6e-6) << "length " << n;
    }
  }
}

TEST_P(VectorMathTest, RmsNorm) {
  for (const int64_t n : kLengths) {
    const auto size = static_cast<size_t>(n);
    const std::vector<float> x = RandomFloats(size, -2, 2), w = RandomFloats(size, 0.5F, 2, 2);
    double squares = 0;
    for (const float value : x) squares += double{value} * double{value};
    const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
    std::vector<float> y(size), plain(size);
    math_.rms_norm(x.data(), w.data(), n, 1e-5, y.data());
    math_.rms_norm(x.data(), nullptr, n, 1e-5, plain.data());
    for (size_t i = 0; i < size; ++i) {
      EXPECT_LE(Ulps(x[i] * factor, plain[i]), 4);
      EXPECT_LE(Ulps(x[i] * factor * double{w[i]}, y[i]), 5);
    }
  }
}

TEST_P(VectorMathTest, LayerNorm) {
  for (const int64_t n : kLengths) {
    const auto size = static_cast<size_t>(n);
    const std::vector<float> x = RandomFloats(size, -2, 6), w = RandomFloats(size, 0.5F, 2, 2);
    const std::vector<float> b = RandomFloats(size, -1, 1, 3);
    const double count = static_cast<double>(n);
    double mean = 0, variance = 0;
    for (const float value : x) mean += value / count;
    for (const float value : x) variance += (value - mean) * (value - mean) / count;
    const double factor = 1 / std::sqrt(variance + 0.25);
    std::vector<float> y(size), plain(size);
    math_.layer_norm(x.data(), w.data(), b.data(), n, 0.25, y.data());
    math_.layer_norm(x.data(), nullptr, nullptr, n, 0.25, plain.data());
    for (size_t i = 0; i < size; ++i) {
      const double expected = (x[i] - mean) * factor;
      // The mean, of numbers up to 6, is rounded, and so is what is left: 2^-21 each, divided by at
      // least 0.5. A sum of n floats may be off by more, but not of these lengths.
      EXPECT_NEAR(plain[i], expected, 2e-6) << "length " << n;
      EXPECT_NEAR(y[i], expected * double{w[i]} + double{b[i]}, 5e-6) << "length " << n;
    }
  }
}

// Large positions, too: there a float32 angle would be off by far more.
TEST_P(VectorMathTest, TurnsAndRotations) {
  for (const int64_t pairs : {4, 20, 32, 64}) {
    const auto size = static_cast<size_t>(pairs);
    std::vector<double> inverse(size);
    for (size_t i = 0; i < size; ++i) inverse[i] = std::pow(1e4, -static_cast<double>(i) / 64);
    const std::vector<float> x = RandomFloats(2 * size, -1, 1);
    std::vector<float> cosines(2 * size), sines(2 * size), halves(2 * size), in_pairs(2 * size);
    for (const int32_t position : {0, 1, 2, 3, 5, 1000, 131071, 1 << 30}) {
      math_.turns(position, inverse.data(), 0.5F, pairs, cosines.data(), sines.data());
      math_.rotate_halves(x.data(), cosines.data(), sines.data(), pairs, halves.data());
      for (size_t i = size; i-- > 0;) {
        const double angle = position * inverse[i];
        // Half a unit of the last place of 0.5, and as much from the polynomial and the angle.
        EXPECT_NEAR(cosines[i], 0.5 * std::cos(angle), 6e-8) << position << ", pair " << i;
        EXPECT_NEAR(sines[i], 0.5 * std::sin(angle), 6e-8) << position << ", pair " << i;
        EXPECT_NEAR(halves[i], x[i] * cosines[i] - x[size + i] * sines[i], 1e-7);
        EXPECT_NEAR(halves[size + i], x[i] * sines[i] + x[size + i] * cosines[i], 1e-7);
        cosines[2 * i] = cosines[2 * i + 1] = cosines[i];
        sines[2 * i + 1] = sines[i];
        sines[2 * i] = -sines[i];
      }
      math_.rotate_pairs(x.data(), cosines.data(), sines.data(), pairs, in_pairs.data());
      for (size_t i = 0; i < 2 * size; i += 2) {
        const float sine = sines[i + 1];
        EXPECT_NEAR(in_pairs[i], x[i] * cosines[i] - x[i + 1] * sine, 1e-7);
        EXPECT_NEAR(in_pairs[i + 1], x[i] * sine + x[i + 1] * cosines[i], 1e-7);
      }
    }
  }
}

// Subnormals, ties and overflow among them.
TEST_P(VectorMathTest, F16IsAsInTheFormats) {
  std::vector<float> x = {0, -0.0F, 1, 65504, 65519, 65520, -1e9F, 6e-8F, 2.98e-8F, 1e-6F, 1e-30F};
  for (const float value : RandomFloats(200, -100, 100)) x.push_back(value);
  x.push_back(1 + 0x1p-11F);      // half way, to even: down
  x.push_back(1 + 3 * 0x1p-11F);  // up
  std::vector<uint16_t> y(x.size() + 1, 77);
  math_.f16_from_f32(x.data(), static_cast<int64_t>(x.size()),
                     reinterpret_cast<std::byte*>(y.data()));
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(y[i], F16FromF32(x[i])) << x[i];
  EXPECT_EQ(y.back(), 77);
}

// Sums of up to 256 products in float32, in 16 lanes or fewer: roundings of 2^-24, some of each
// other's size, squared, are about 1e-13 of the size of a sum.
TEST_P(VectorMathTest, DotRowsAreThoseOfFloat64) {
  const VectorIsa& isa = cpu::VectorIsaFor(MakeCpuBackend(GetParam())->caps());
  constexpr int64_t kRows = 19;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const int64_t cols : {1, 16, 37, 100, 256}) {
      const std::vector<float> values = RandomFloats(kRows * cols, -1, 1);
      std::vector<std::byte> weights(static_cast<size_t>(*ByteSize(dtype, kRows * cols)));
      QuantizerFor(dtype)(values.data(), kRows * cols, weights.data());
      std::vector<float> w(kRows * cols);
      DequantizerFor(dtype)(weights.data(), kRows * cols, w.data());
      for (int64_t x_rows = 1; x_rows <= cpu::kMaxDotRows; ++x_rows) {
        SCOPED_TRACE(absl::StrCat(Name(dtype), ", ", cols, " columns, ", x_rows, " rows"));
        const std::vector<float> x = RandomFloats(x_rows * cols, -1, 1, 2);
        std::vector<float> y(x_rows * kRows);
        cpu::DotRowsFor(isa, dtype)(weights.data(), *ByteSize(dtype, cols), kRows, cols, x.data(),
                                    x_rows, y.data(), kRows);
        double difference = 0, size = 0;
        for (int64_t i = 0; i < x_rows * kRows; ++i) {
          const double exact =
              std::inner_product(w.begin() + i % kRows * cols, w.begin() + (i % kRows + 1) * cols,
                                 x.begin() + i / kRows * cols, 0.0);
          difference += std::pow(y[static_cast<size_t>(i)] - exact, 2);
          size += exact * exact;
        }
        EXPECT_LT(difference, 1e-12 * size);
      }
    }
  }
  EXPECT_EQ(cpu::DotRowsFor(isa, DType::kQ8_0), nullptr);
}

INSTANTIATE_TEST_SUITE_P(All, VectorMathTest, testing::ValuesIn(OptionsForAllIsas(1)),
                         [](const testing::TestParamInfo<CpuOptions>& test) {
                           return absl::StrCat(test.index, "_", IsaName(test.param));
                         });

// --- Attention ------------------------------------------------------------------------------

struct Sequence {
  int32_t tokens;   // of this step, the last of the context
  int32_t context;  // with them
};

struct AttentionCase {
  std::string name;
  int heads, kv_heads, k_dim, v_dim;
  std::string k_dtype, v_dtype;
  std::string attrs;
  std::vector<Sequence> sequences;
  bool wrong_blocks_outside = false;  // blocks that a window of 1 has left behind have no valid id
};

constexpr int32_t kBlockSize = 16;

// Runs `attention` on the sequences, whose blocks lie scattered in the cache.
class AttentionRun {
 public:
  explicit AttentionRun(const AttentionCase& test) {
    int32_t blocks = 0;
    for (const Sequence& s : test.sequences) {
      tokens_ += s.tokens;
      table_ = std::max(table_, (s.context + kBlockSize - 1) / kBlockSize);
      for (int32_t i = s.context - s.tokens; i < s.context; ++i) {
        positions_.push_back(i);
        seq_ids_.push_back(static_cast<int32_t>(lens_.size()));
      }
      lens_.push_back(s.context);
    }
    const auto sequences = static_cast<int32_t>(lens_.size());
    blocks = sequences * table_;
    tables_.resize(static_cast<size_t>(blocks));
    std::iota(tables_.begin(), tables_.end(), 0);
    std::shuffle(tables_.begin(), tables_.end(), std::mt19937(3));
    if (test.wrong_blocks_outside) tables_[0] = -1;
    q_ = RandomFloats(static_cast<size_t>(tokens_ * test.heads * test.k_dim), -1, 1);
    text_ = absl::Substitute(
        "graph g\nsymbol tokens <= $0\nsymbol seqs <= $1\nsymbol table <= $2\n"
        "input %q : f32[tokens,$3,$4]\ninput %pos : i32[tokens]\ninput %seq : i32[tokens]\n"
        "input %tables : i32[seqs,table]\ninput %lens : i32[seqs]\n",
        tokens_, sequences, table_, test.heads, test.k_dim);
    const auto cache = [&](const std::string& dtype, int dim) {
      return absl::Substitute("state<$0[$1,$2,$3,$4]>", dtype, blocks, test.kv_heads, kBlockSize,
                              dim);
    };
    absl::StrAppend(&text_, "state %k : ", cache(test.k_dtype, test.k_dim),
                    "\nstate %v : ", cache(test.v_dtype, test.v_dim),
                    "\n%y = attention(%q, %k, %v, %pos, %seq, ", "%tables, %lens) {", test.attrs,
                    "} : f32[tokens,", test.heads, ",", test.v_dim, "]\noutput %y\n");
  }

  absl::StatusOr<Graph> MakeGraph() const { return Parse(text_, "g"); }

  absl::StatusOr<std::vector<float>> On(Backend& backend, Graph graph) {
    SymbolValues symbols;
    symbols.Set("tokens", tokens_);
    symbols.Set("seqs", static_cast<int64_t>(lens_.size()));
    symbols.Set("table", table_);
    std::vector<std::unique_ptr<Buffer>> buffers;
    std::vector<Buffer*> states;
    for (const auto& state : graph.states()) {
      const auto bytes = symbols.EvaluateBytes(state->type());
      if (!bytes.ok()) return bytes.status();
      auto buffer = backend.Allocate(*bytes);
      if (!buffer.ok()) return buffer.status();
      const auto filled = FillRandomBlocks(state->type().dtype, states.size() + 1, 1,
                                           {(*buffer)->host(), static_cast<size_t>(*bytes)});
      if (!filled.ok()) return filled;
      states.push_back(buffer->get());
      buffers.push_back(*std::move(buffer));
    }
    const TensorView inputs[] = {
        View(&q_, DType::kF32, *symbols.Evaluate(graph.inputs()[0]->type().shape)),
        View(&positions_, DType::kI32, {tokens_}), View(&seq_ids_, DType::kI32, {tokens_}),
        View(&tables_, DType::kI32, {static_cast<int64_t>(lens_.size()), table_}),
        View(&lens_, DType::kI32, {static_cast<int64_t>(lens_.size())})};
    auto executable = backend.Compile(std::move(graph), {});
    if (!executable.ok()) return executable.status();
    const absl::Status status =
        (*executable)->Run({.symbols = symbols, .inputs = inputs, .states = states});
    if (!status.ok()) return status;
    return ValuesOf(*(*executable)->output(0));
  }

 private:
  template <typename T>
  static TensorView View(std::vector<T>* values, DType dtype,
                         absl::InlinedVector<int64_t, 4> dims) {
    return {dtype, std::move(dims), reinterpret_cast<std::byte*>(values->data()), {}};
  }

  std::string text_;
  int32_t tokens_ = 0, table_ = 0;
  std::vector<float> q_;
  std::vector<int32_t> positions_, seq_ids_, tables_, lens_;
};

class AttentionOnEveryIsa : public testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionOnEveryIsa, AgreesWithReference) {
  AttentionRun run(GetParam());
  absl::StatusOr<Graph> graph = run.MakeGraph();
  ASSERT_TRUE(graph.ok()) << graph.status();
  const std::unique_ptr<Backend> ref = MakeRefBackend();
  const auto expected = run.On(*ref, graph->Clone());
  ASSERT_TRUE(expected.ok()) << expected.status();
  for (const int threads : {1, 5}) {
    for (const CpuOptions& options : OptionsForAllIsas(threads)) {
      SCOPED_TRACE(absl::StrCat(IsaName(options), ", ", threads, " threads"));
      const std::unique_ptr<Backend> backend = MakeCpuBackend(options);
      Graph compiled = graph->Clone();
      const CompileContext context{.caps = &backend->caps(), .kernels = backend->kernels()};
      ASSERT_TRUE(
          RunPasses({*FindPass("select_kernels"), *FindPass("plan_memory")}, context, {}, &compiled)
              .ok());
      const auto got = run.On(*backend, std::move(compiled));
      ASSERT_TRUE(got.ok()) << got.status();
      // Scores of up to 10 with float32 roundings of their 128 products make powers with relative
      // errors of about 1e-6, which average out: squared, less than 1e-12. A key too many or too
      // few among 3000 would make 1e-4.
      EXPECT_LT(Nmse({*expected}, {*got}), 1e-12);
    }
  }
}

std::vector<AttentionCase> AttentionCases() {
  const std::vector<Sequence> kSome = {{1, 70}, {37, 37}, {1, 1}, {5, 100}, {3, 64}};
  std::vector<AttentionCase> cases;
  for (const int dim : {32, 64, 80, 96, 128, 20}) {
    cases.push_back({absl::StrCat("dim_", dim), 4, 2, dim, dim, "f16", "f16", "scale=0.3", kSome});
  }
  for (const int group : {1, 3, 7, 8, 20, 71}) {
    cases.push_back(
        {absl::StrCat("group_", group), 2 * group, 2, 32, 48, "f16", "f16", "scale=0.3", kSome});
  }
  for (const char* dtype : {"f32", "f16", "bf16"}) {
    cases.push_back(
        {absl::StrCat("cache_", dtype), 4, 2, 64, 32, dtype, "f16", "scale=0.3", kSome});
    cases.push_back(
        {absl::StrCat("values_", dtype), 4, 2, 64, 32, "f16", dtype, "scale=0.3", kSome});
  }
  for (const int window : {1, 15, 33, 1000}) {
    cases.push_back({absl::StrCat("window_", window), 4, 2, 64, 64, "f16", "f16",
                     absl::StrCat("scale=0.3, window=", window), kSome});
  }
  cases.push_back({"full", 4, 2, 64, 64, "f16", "f16", "causal=false, scale=0.3", kSome});
  cases.push_back(
      {"full_window", 4, 2, 64, 64, "f16", "f16", "causal=false, scale=0.3, window=9", kSome});
  cases.push_back({"left_behind", 4, 2, 64, 64, "f16", "f16", "scale=0.3, window=1", kSome, true});
  cases.push_back({"prompt", 4, 1, 128, 128, "f16", "f16", "scale=0.1", {{300, 300}}});
  cases.push_back({"second_half_of_prompt", 2, 1, 64, 64, "f16", "f16", "scale=0.1", {{150, 400}}});
  cases.push_back({"long_decode", 4, 1, 128, 128, "f16", "f16", "scale=0.1", {{1, 3000}}});
  cases.push_back({"long_decodes", 2, 1, 32, 32, "f16", "f16", "scale=0.3", {{2, 2999}, {1, 9}}});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(All, AttentionOnEveryIsa, testing::ValuesIn(AttentionCases()),
                         [](const testing::TestParamInfo<AttentionCase>& test) {
                           return test.param.name;
                         });

}  // namespace
}  // namespace sluice
