// kv_append and attention: numbers by hand, and paged attention against a plain dense one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "graph/evaluate.h"
#include "graph/ops/attention.h"
#include "tests/support/eval.h"

namespace sluice {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

// A cache filled with 0xff bytes (NaN), so that reading what was never written shows.
TestTensor EmptyCache(DType dtype, Shape shape) {
  int64_t elements = 1;
  for (const Dim& dim : shape) elements *= dim.factor();
  const auto bytes = static_cast<size_t>(elements * Info(dtype).bytes_per_block);
  return AsState(Blocks(dtype, std::move(shape), std::vector<std::byte>(bytes, std::byte{0xff})));
}

// --- kv_append ------------------------------------------------------------------------------

TEST(KvAppend, WritesSlotsInPlace) {
  // Two blocks of two slots, two heads: an element lies at ((block * 2 + head) * 2 + offset).
  const TestTensor k_cache = AsState(Floats({2, 2, 2, 1}, {0, 1, 2, 3, 4, 5, 6, 7}));
  const TestTensor v_cache = AsState(Floats({2, 2, 2, 2}, std::vector<float>(16, 9)));
  const TestTensor k = Floats({2, 2, 1}, {10, 20, 30, 40});
  const TestTensor v = Floats({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  const auto out = EvalOp("kv_append", {k_cache, v_cache, k, v, Ints({2}, {3, 0})});
  EXPECT_THAT(FloatsOf(out, 0), ElementsAre(30, 1, 40, 3, 4, 10, 6, 20));
  EXPECT_THAT(FloatsOf(out, 1), ElementsAre(5, 6, 9, 9, 7, 8, 9, 9, 9, 9, 1, 2, 9, 9, 3, 4));
}

TEST(KvAppend, RoundsToTheDtypeOfEachCache) {
  const TestTensor k = Floats({1, 1, 3}, {1 + 0x1p-11F, 1 + 0x1.8p-10F, 65520});
  const TestTensor v = Floats({1, 1, 2}, {1 + 0x1p-8F, 1 + 0x1.8p-7F});
  const auto out =
      EvalOp("kv_append", {EmptyCache(DType::kF16, {1, 1, 1, 3}),
                           EmptyCache(DType::kBF16, {1, 1, 1, 2}), k, v, Ints({1}, {0})});
  EXPECT_THAT(FloatsOf(out, 0),
              ElementsAre(1, 1 + 0x1p-9F, std::numeric_limits<float>::infinity()));
  EXPECT_THAT(FloatsOf(out, 1), ElementsAre(1, 1 + 0x1p-6F));
}

TEST(KvAppend, RefusesSlotsOutsideTheCache) {
  const TestTensor rows = Floats({2, 1, 1}, {1, 2});
  const TestTensor cache = EmptyCache(DType::kF32, {3, 1, 2, 1});
  for (const int32_t bad : {-1, 6, std::numeric_limits<int32_t>::min()}) {
    const auto out = EvalOp("kv_append", {cache, cache, rows, rows, Ints({2}, {5, bad})});
    EXPECT_EQ(out.status().code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(ErrorOf(out),
              "'kv_append': slots[1] is " + std::to_string(bad) + ", expected 0 <= index < 6");
  }
}

TEST(KvAppend, WritesNothingWhereASlotIsBad) {
  std::vector<float> k_cache(2, 7), v_cache(2, 8), rows = {1, 2};
  std::vector<int32_t> slots = {0, 2};
  const auto view = [](DType dtype, std::initializer_list<int64_t> dims, void* data) {
    return TensorView{dtype, dims, static_cast<std::byte*>(data), {}};
  };
  const std::vector<TensorView> operands = {
      view(DType::kF32, {1, 1, 2, 1}, k_cache.data()),
      view(DType::kF32, {1, 1, 2, 1}, v_cache.data()), view(DType::kF32, {2, 1, 1}, rows.data()),
      view(DType::kF32, {2, 1, 1}, rows.data()), view(DType::kI32, {2}, slots.data())};
  std::vector<TensorType> types(operands.size());
  std::vector<const TensorType*> pointers(operands.size());
  for (size_t i = 0; i < operands.size(); ++i) {
    types[i] = TypeOf(operands[i]);
    pointers[i] = &types[i];
  }
  const OpDef& op = *StandardOps().Find("kv_append");
  const OpCall call{op, pointers, {}};
  EXPECT_FALSE(
      op.eval({call, operands, absl::MakeConstSpan(operands).first(op.results.size())}).ok());
  EXPECT_THAT(k_cache, Each(7));
  EXPECT_THAT(v_cache, Each(8));
}

TEST(KvAppend, Infers) {
  const std::string k_cache = "state<f16[blocks,2,16,8]>", v_cache = "state<f32[blocks,2,16,4]>";
  EXPECT_EQ(*InferOp("kv_append", {k_cache, v_cache, "f32[t,2,8]", "f32[t,2,4]", "i32[t]"}),
            k_cache + ", " + v_cache);
  EXPECT_THAT(InferError("kv_append", {k_cache, v_cache, "f32[t,4,8]", "f32[t,2,4]", "i32[t]"}),
              HasSubstr("k is f32[t,4,8], expected f32[t,Hkv,D] where Hkv=2 (from k_cache)"));
  EXPECT_THAT(InferError("kv_append", {k_cache, v_cache, "f32[t,2,8]", "f32[t,2,8]", "i32[t]"}),
              HasSubstr("v is f32[t,2,8], expected f32[t,Hkv,Dv] where Dv=4 (from v_cache)"));
  EXPECT_THAT(InferError("kv_append", {k_cache, v_cache, "f32[t,2,8]", "f32[t,2,4]", "i32[n]"}),
              HasSubstr("slots is i32[n], expected i32[t] where t=t (from k)"));
  EXPECT_THAT(InferError("kv_append",
                         {"f16[blocks,2,16,8]", v_cache, "f32[t,2,8]", "f32[t,2,4]", "i32[t]"}),
              HasSubstr("k_cache is f16[blocks,2,16,8], expected state<"));
  EXPECT_THAT(InferError("kv_append", {"state<i32[blocks,2,16,8]>", v_cache, "f32[t,2,8]",
                                       "f32[t,2,4]", "i32[t]"}),
              HasSubstr("k_cache is state<i32[blocks,2,16,8]>"));
  EXPECT_THAT(InferError("kv_append", {"state<f16[blocks,2,16,8]>", "state<f16[blocks,2,8,8]>",
                                       "f32[t,2,8]", "f32[t,2,8]", "i32[t]"}),
              HasSubstr("where block_size=16 (from k_cache)"));
  EXPECT_THAT(InferError("kv_append", {"state<f16[4,2,n,8]>", "state<f16[4,2,n,8]>", "f32[t,2,8]",
                                       "f32[t,2,8]", "i32[t]"}),
              HasSubstr("dimension block_size is n, expected a constant"));
}

TEST(KvAppend, CostCountsTheWrittenSlotsOnly) {
  const OpCost cost = CostOf("kv_append", {"state<f16[100,2,16,8]>", "state<f32[100,2,16,4]>",
                                           "f32[3,2,8]", "f32[3,2,4]", "i32[3]"});
  EXPECT_EQ(cost.flops, 0);
  EXPECT_EQ(cost.bytes_read, (3 * 2 * 8 + 3 * 2 * 4 + 3) * 4);
  EXPECT_EQ(cost.bytes_written, 3 * 2 * 8 * 2 + 3 * 2 * 4 * 4);
}

// --- attention by hand ----------------------------------------------------------------------

// One sequence in one block of four: cached keys and values of one head and one element.
struct Column {
  std::vector<float> k, v;
};

// One token with the query 1.
EvalResults AttendColumn(const Column& cache, int32_t context_len, int32_t position,
                         Attributes attrs = {}) {
  if (attrs.Find("scale") == nullptr) attrs.Set("scale", 1.0);
  return EvalOp("attention",
                {Floats({1, 1, 1}, {1}), AsState(Floats({1, 1, 4, 1}, cache.k)),
                 AsState(Floats({1, 1, 4, 1}, cache.v)), Ints({1}, {position}), Ints({1}, {0}),
                 Ints({1, 1}, {0}), Ints({1}, {context_len})},
                attrs);
}

TEST(Attention, WeighsValuesBySoftmax) {
  // exp(0) : exp(ln 3) = 1/4 : 3/4, and with a scale of 2 1/10 : 9/10.
  const Column cache = {{0, std::log(3.0F), NAN, NAN}, {4, 8, NAN, NAN}};
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 2, 1)), ElementsAre(FloatNear(7, 1e-6F)));
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 2, 1, {{"scale", 2.0}})),
              ElementsAre(FloatNear(7.6F, 1e-6F)));
}

TEST(Attention, DoesNotOverflow) {
  const Column cache = {{3e38F, 3e38F, -3e38F, 0}, {1, 3, 100, 100}};
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 4, 3)), ElementsAre(2));
}

TEST(Attention, SeesNothingAfterPositionOrContext) {
  const Column cache = {{0, 0, 0, 0}, {1, 3, 8, 12}};
  const Attributes all = {{"causal", false}};
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 4, 0)), ElementsAre(1));
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 4, 2)), ElementsAre(4));
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 2, 3)), ElementsAre(2));
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 4, 0, all)), ElementsAre(6));
}

TEST(Attention, WindowCountsTheTokenItself) {
  const Column cache = {{0, 0, 0, 0}, {1, 3, 8, 12}};
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 4, 2, {{"window", int64_t{1}}})), ElementsAre(8));
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 4, 2, {{"window", int64_t{2}}})), ElementsAre(5.5F));
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 4, 2, {{"window", int64_t{99}}})), ElementsAre(4));
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 4, 2, {{"window", int64_t{1}}, {"causal", false}})),
              ElementsAre(10));  // indices 2 and 3
}

TEST(Attention, GivesZerosWhereNothingIsSeen) {
  const Column cache = {{0, 0, 0, 0}, {1, 3, 8, 12}};
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 0, 0)), ElementsAre(0));
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 4, -1)), ElementsAre(0));
  EXPECT_THAT(FloatsOf(AttendColumn(cache, 1, 3, {{"window", int64_t{2}}})), ElementsAre(0));
}

TEST(Attention, PropagatesNan) {
  const Column cache = {{0, NAN, 0, 0}, {1, 2, 3, 4}};
  const auto out = FloatsOf(AttendColumn(cache, 2, 1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_TRUE(std::isnan(out[0]));
}

// --- attention against a dense one ----------------------------------------------------------

struct Token {
  int32_t sequence, position;
};

struct Problem {
  std::vector<int64_t> lengths = {13, 5, 1};  // tokens of each sequence
  int64_t heads = 4, kv_heads = 2, k_width = 8, v_width = 6, block_size = 4;
  DType k_dtype = DType::kF32, v_dtype = DType::kF32;
};

// Several sequences with random keys, values and queries, in a cache with random block tables.
class PagedSequences {
 public:
  explicit PagedSequences(Problem problem, uint64_t seed = 1) : problem_(std::move(problem)) {
    std::mt19937_64 random(seed);
    const int64_t sequences = static_cast<int64_t>(problem_.lengths.size());
    const int64_t longest = *std::max_element(problem_.lengths.begin(), problem_.lengths.end());
    table_ = (longest + problem_.block_size - 1) / problem_.block_size;
    blocks_ = sequences * table_ + 3;
    std::vector<int32_t> ids(static_cast<size_t>(blocks_));
    std::iota(ids.begin(), ids.end(), 0);
    std::shuffle(ids.begin(), ids.end(), random);
    tables_.assign(ids.begin(), ids.begin() + sequences * table_);
    for (const int64_t length : problem_.lengths) {
      q_.push_back(Random(length * problem_.heads * problem_.k_width, random));
      k_.push_back(Random(length * problem_.kv_heads * problem_.k_width, random));
      v_.push_back(Random(length * problem_.kv_heads * problem_.v_width, random));
    }
    k_cache_ = EmptyCache(problem_.k_dtype, CacheShape(problem_.k_width));
    v_cache_ = EmptyCache(problem_.v_dtype, CacheShape(problem_.v_width));
  }

  // Every token of every sequence, the sequences' tokens shuffled into each other.
  std::vector<Token> AllTokens() const {
    std::vector<Token> tokens;
    for (size_t s = 0; s < problem_.lengths.size(); ++s) {
      for (int64_t p = 0; p < problem_.lengths[s]; ++p) {
        tokens.push_back({static_cast<int32_t>(s), static_cast<int32_t>(p)});
      }
    }
    std::mt19937_64 random(7);
    std::shuffle(tokens.begin(), tokens.end(), random);
    return tokens;
  }

  // Writes the tokens' keys and values.
  void Append(const std::vector<Token>& tokens) {
    std::vector<int32_t> slots;
    for (const auto [s, p] : tokens) {
      const int64_t block = tables_[static_cast<size_t>(s * table_ + p / problem_.block_size)];
      slots.push_back(static_cast<int32_t>(block * problem_.block_size + p % problem_.block_size));
    }
    const int64_t n = static_cast<int64_t>(tokens.size());
    auto out =
        EvalOp("kv_append", {k_cache_, v_cache_,
                             Floats({n, problem_.kv_heads, problem_.k_width},
                                    RowsOf(k_, tokens, problem_.kv_heads * problem_.k_width)),
                             Floats({n, problem_.kv_heads, problem_.v_width},
                                    RowsOf(v_, tokens, problem_.kv_heads * problem_.v_width)),
                             Ints({n}, slots)});
    ASSERT_TRUE(out.ok()) << out.status();
    k_cache_ = (*out)[0];
    v_cache_ = (*out)[1];
  }

  // The op itself, each sequence with the given number of cached tokens.
  std::vector<float> Attend(const std::vector<Token>& tokens,
                            const std::vector<int32_t>& context_lens,
                            const Attributes& attrs) const {
    std::vector<int32_t> positions, sequences;
    for (const auto [s, p] : tokens) {
      sequences.push_back(s);
      positions.push_back(p);
    }
    const int64_t n = static_cast<int64_t>(tokens.size());
    const int64_t tables = static_cast<int64_t>(problem_.lengths.size());
    return FloatsOf(EvalOp("attention",
                           {Floats({n, problem_.heads, problem_.k_width},
                                   RowsOf(q_, tokens, problem_.heads * problem_.k_width)),
                            k_cache_, v_cache_, Ints({n}, positions), Ints({n}, sequences),
                            Ints({tables, table_}, tables_), Ints({tables}, context_lens)},
                           attrs));
  }

  std::vector<int32_t> Lengths() const {
    return {problem_.lengths.begin(), problem_.lengths.end()};
  }

  // The definition, straight from the dense rows; what the cache holds is rounded by `round`.
  template <typename Round>
  std::vector<float> Dense(const std::vector<Token>& tokens, double scale, bool causal,
                           int64_t window, Round round) const {
    std::vector<float> out;
    for (const Token& token : tokens) {
      for (int64_t h = 0; h < problem_.heads; ++h) {
        const std::vector<double> row = DenseHead(token, h, scale, causal, window, round);
        out.insert(out.end(), row.begin(), row.end());
      }
    }
    return out;
  }
  std::vector<float> Dense(const std::vector<Token>& tokens, double scale, bool causal = true,
                           int64_t window = 0) const {
    return Dense(tokens, scale, causal, window, [](float x) { return x; });
  }

  void ForgetBlock(int64_t sequence, int64_t index) {
    tables_[static_cast<size_t>(sequence * table_ + index)] = -1;
  }

 private:
  static std::vector<float> Random(int64_t n, std::mt19937_64& random) {
    std::vector<float> values(static_cast<size_t>(n));
    for (float& value : values) value = static_cast<float>(random() % 4001) / 1000.0F - 2.0F;
    return values;
  }

  static std::vector<float> RowsOf(const std::vector<std::vector<float>>& data,
                                   const std::vector<Token>& tokens, int64_t width) {
    std::vector<float> rows;
    for (const auto [s, p] : tokens) {
      const auto begin = data[static_cast<size_t>(s)].begin() + p * width;
      rows.insert(rows.end(), begin, begin + width);
    }
    return rows;
  }

  Shape CacheShape(int64_t width) const {
    return {blocks_, problem_.kv_heads, problem_.block_size, width};
  }

  template <typename Round>
  std::vector<double> DenseHead(Token token, int64_t head, double scale, bool causal,
                                int64_t window, Round round) const {
    const auto s = static_cast<size_t>(token.sequence);
    const int64_t kv_head = head / (problem_.heads / problem_.kv_heads);
    const float* q =
        &q_[s][static_cast<size_t>((token.position * problem_.heads + head) * problem_.k_width)];
    std::vector<double> sums(static_cast<size_t>(problem_.v_width));
    double total = 0;
    for (int64_t j = 0; j < problem_.lengths[s]; ++j) {
      if ((causal && j > token.position) || (window > 0 && j <= token.position - window)) continue;
      const auto row = static_cast<size_t>(j * problem_.kv_heads + kv_head);
      double dot = 0;
      for (size_t i = 0; i < static_cast<size_t>(problem_.k_width); ++i) {
        dot += static_cast<double>(q[i]) *
               round(k_[s][row * static_cast<size_t>(problem_.k_width) + i]);
      }
      const double weight = std::exp(dot * scale);
      total += weight;
      for (size_t i = 0; i < sums.size(); ++i)
        sums[i] += weight * round(v_[s][row * sums.size() + i]);
    }
    for (double& sum : sums) sum /= total;
    return sums;
  }

  Problem problem_;
  int64_t table_ = 0, blocks_ = 0;
  std::vector<int32_t> tables_;
  std::vector<std::vector<float>> q_, k_, v_;  // [sequence][position, head, element]
  TestTensor k_cache_, v_cache_;
};

constexpr double kScale = 0.35;

// Both sides accumulate in double and round once to float; values lie within -2..2.
auto IsNear(const std::vector<float>& expected) { return Pointwise(FloatNear(5e-7F), expected); }

TEST(PagedAttention, EqualsDenseForRandomBlockTables) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    PagedSequences paged({}, seed);
    const std::vector<Token> tokens = paged.AllTokens();
    paged.Append(tokens);
    EXPECT_THAT(paged.Attend(tokens, paged.Lengths(), {{"scale", kScale}}),
                IsNear(paged.Dense(tokens, kScale)))
        << "seed " << seed;
  }
}

TEST(PagedAttention, EqualsDenseForAnyGroupingOfHeads) {
  for (const int64_t kv_heads : {1, 2, 3, 6}) {
    PagedSequences paged({.heads = 6, .kv_heads = kv_heads});
    const std::vector<Token> tokens = paged.AllTokens();
    paged.Append(tokens);
    EXPECT_THAT(paged.Attend(tokens, paged.Lengths(), {{"scale", kScale}}),
                IsNear(paged.Dense(tokens, kScale)))
        << kv_heads << " kv heads";
  }
}

TEST(PagedAttention, EqualsDenseWithAWindow) {
  PagedSequences paged({});
  const std::vector<Token> tokens = paged.AllTokens();
  paged.Append(tokens);
  for (const int64_t window : {1, 3, 4, 5, 100}) {
    EXPECT_THAT(paged.Attend(tokens, paged.Lengths(), {{"scale", kScale}, {"window", window}}),
                IsNear(paged.Dense(tokens, kScale, /*causal=*/true, window)))
        << "window " << window;
  }
}

TEST(PagedAttention, EqualsDenseWithoutCausality) {
  PagedSequences paged({});
  const std::vector<Token> tokens = paged.AllTokens();
  paged.Append(tokens);
  EXPECT_THAT(paged.Attend(tokens, paged.Lengths(), {{"scale", kScale}, {"causal", false}}),
              IsNear(paged.Dense(tokens, kScale, /*causal=*/false)));
}

TEST(PagedAttention, EqualsDenseForAnyBlockSize) {
  for (const int64_t block_size : {1, 5, 13, 16}) {
    PagedSequences paged({.block_size = block_size});
    const std::vector<Token> tokens = paged.AllTokens();
    paged.Append(tokens);
    EXPECT_THAT(paged.Attend(tokens, paged.Lengths(), {{"scale", kScale}}),
                IsNear(paged.Dense(tokens, kScale)))
        << "blocks of " << block_size;
  }
}

// The nearest f16 or bf16, by way of cast, which has tests of its own.
float Rounded(const char* dtype, float value) {
  return FloatsOf(EvalOp("cast", {Floats({1}, {value})}, {{"to", dtype}}))[0];
}

TEST(PagedAttention, ReadsARoundedCache) {
  for (const auto& [dtype, name] : {std::pair{DType::kF16, "f16"}, {DType::kBF16, "bf16"}}) {
    PagedSequences paged({.k_dtype = dtype, .v_dtype = dtype});
    const std::vector<Token> tokens = paged.AllTokens();
    paged.Append(tokens);
    const auto round = [name = name](float x) { return Rounded(name, x); };
    const auto out = paged.Attend(tokens, paged.Lengths(), {{"scale", kScale}});
    EXPECT_THAT(out, IsNear(paged.Dense(tokens, kScale, true, 0, round))) << name;
    EXPECT_THAT(out, testing::Not(IsNear(paged.Dense(tokens, kScale)))) << name;
  }
}

// Chunked prefill: the same numbers, bit for bit, however a prompt is cut.
TEST(PagedAttention, ChunksDoNotChangeResults) {
  PagedSequences whole({.lengths = {13}});
  const std::vector<Token> tokens = [&] {
    std::vector<Token> t = whole.AllTokens();
    std::sort(t.begin(), t.end(), [](Token a, Token b) { return a.position < b.position; });
    return t;
  }();
  whole.Append(tokens);
  const std::vector<float> expected = whole.Attend(tokens, {13}, {{"scale", kScale}});
  for (const size_t chunk : {1, 3, 4, 12}) {
    PagedSequences paged({.lengths = {13}});
    std::vector<float> got;
    for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
      const size_t end = std::min(begin + chunk, tokens.size());
      const std::vector<Token> part(tokens.begin() + static_cast<int64_t>(begin),
                                    tokens.begin() + static_cast<int64_t>(end));
      paged.Append(part);
      const auto out = paged.Attend(part, {static_cast<int32_t>(end)}, {{"scale", kScale}});
      got.insert(got.end(), out.begin(), out.end());
    }
    EXPECT_THAT(got, ElementsAreArray(expected)) << "chunks of " << chunk;
  }
}

TEST(PagedAttention, BlocksBehindTheWindowMayBeGone) {
  PagedSequences paged({.lengths = {13}});
  paged.Append(paged.AllTokens());
  paged.ForgetBlock(0, 0);
  paged.ForgetBlock(0, 1);
  const std::vector<Token> last = {{0, 12}};
  EXPECT_THAT(paged.Attend(last, {13}, {{"scale", kScale}, {"window", int64_t{5}}}),
              IsNear(paged.Dense(last, kScale, /*causal=*/true, 5)));
}

TEST(PagedAttention, ChecksNoBlocksForTokensThatSeeNothing) {
  PagedSequences paged({.lengths = {4}});
  paged.ForgetBlock(0, 0);
  // The window holds index 3 only, the context ends before it.
  EXPECT_THAT(paged.Attend({{0, 3}}, {2}, {{"scale", kScale}, {"window", int64_t{1}}}), Each(0));
}

// --- Errors and cost ------------------------------------------------------------------------

// Two tokens, three blocks of two, two tables of two blocks. `change` is applied to the operands.
template <typename Change>
std::string AttentionError(Change change) {
  const TestTensor cache = AsState(Floats({3, 1, 2, 1}, {1, 2, 3, 4, 5, 6}));
  std::vector<TestTensor> operands = {Floats({2, 1, 1}, {1, 1}),
                                      cache,
                                      cache,
                                      Ints({2}, {2, 1}),
                                      Ints({2}, {0, 1}),
                                      Ints({2, 2}, {0, 1, 2, 0}),
                                      Ints({2}, {3, 2})};
  EXPECT_TRUE(EvalOp("attention", operands, {{"scale", 1.0}}).ok());
  change(operands);
  const auto out = EvalOp("attention", operands, {{"scale", 1.0}});
  EXPECT_EQ(out.status().code(), absl::StatusCode::kOutOfRange);
  return ErrorOf(out);
}

TEST(Attention, RefusesIndicesOutOfRange) {
  EXPECT_EQ(AttentionError([](auto& operands) {
              operands[kOperand<AttentionCall>.seq_ids] = Ints({2}, {0, 2});
            }),
            "'attention': seq_ids[1] is 2, expected 0 <= index < 2");
  EXPECT_EQ(AttentionError([](auto& operands) {
              operands[kOperand<AttentionCall>.seq_ids] = Ints({2}, {-1, 0});
            }),
            "'attention': seq_ids[0] is -1, expected 0 <= index < 2");
  EXPECT_EQ(AttentionError([](auto& operands) {
              operands[kOperand<AttentionCall>.block_tables] = Ints({2, 2}, {0, 3, 2, 0});
            }),
            "'attention': block_tables[0,1] is 3, expected 0 <= index < 3");
  EXPECT_EQ(AttentionError([](auto& operands) {
              operands[kOperand<AttentionCall>.block_tables] = Ints({2, 2}, {0, 1, -7, 0});
            }),
            "'attention': block_tables[1,0] is -7, expected 0 <= index < 3");
  EXPECT_EQ(AttentionError([](auto& operands) {
              operands[kOperand<AttentionCall>.context_lens] = Ints({2}, {3, 5});
            }),
            "'attention': context_lens[1] is 5, expected 0..4 (2 blocks of 2)");
  EXPECT_EQ(AttentionError([](auto& operands) {
              operands[kOperand<AttentionCall>.context_lens] = Ints({2}, {-1, 2});
            }),
            "'attention': context_lens[0] is -1, expected 0..4 (2 blocks of 2)");
}

std::vector<std::string> AttentionTypes() {
  return {"f32[t,4,8]",
          "state<f16[blocks,2,16,8]>",
          "state<f32[blocks,2,16,6]>",
          "i32[t]",
          "i32[t]",
          "i32[seqs,64]",
          "i32[seqs]"};
}

TEST(Attention, Infers) {
  const Attributes attrs = {{"scale", kScale}};
  EXPECT_EQ(*InferOp("attention", AttentionTypes(), attrs), "f32[t,4,6]");
  const auto error = [&](size_t operand, const char* type) {
    std::vector<std::string> types = AttentionTypes();
    types[operand] = type;
    return InferError("attention", types, attrs);
  };
  EXPECT_THAT(error(0, "f32[t,4,16]"), HasSubstr("where D=16 (from q)"));
  EXPECT_THAT(error(0, "f32[t,3,8]"),
              HasSubstr("k_cache is state<f16[blocks,2,16,8]>, expected a number of kv heads that "
                        "divides the 3 of q"));
  EXPECT_THAT(error(2, "state<f32[blocks,4,16,6]>"), HasSubstr("where Hkv=2 (from k_cache)"));
  EXPECT_THAT(error(2, "state<q4_0[blocks,2,16,32]>"),
              HasSubstr("v_cache is state<q4_0[blocks,2,16,32]>, expected state<f32|f16|bf16"));
  EXPECT_THAT(error(3, "i32[n]"), HasSubstr("positions is i32[n], expected i32[t]"));
  EXPECT_THAT(error(4, "f32[t]"), HasSubstr("seq_ids is f32[t], expected i32[t]"));
  EXPECT_THAT(error(5, "i32[64]"), HasSubstr("block_tables is i32[64], expected i32[seqs,table]"));
  EXPECT_THAT(error(6, "i32[t]"), HasSubstr("context_lens is i32[t], expected i32[seqs]"));
}

TEST(Attention, RefusesBadAttributes) {
  const auto error = [](const Attributes& attrs) {
    return InferError("attention", AttentionTypes(), attrs);
  };
  EXPECT_THAT(error({}), HasSubstr("needs the attribute 'scale'"));
  EXPECT_EQ(error({{"scale", std::numeric_limits<double>::quiet_NaN()}}),
            "'attention': attribute scale is nan, expected a finite number");
  EXPECT_EQ(error({{"scale", 1.0}, {"window", int64_t{-1}}}),
            "'attention': attribute window is -1, expected 0 (no window) or more");
}

TEST(Attention, Cost) {
  const std::vector<std::string> types = {"f32[3,4,8]",
                                          "state<f16[100,2,16,8]>",
                                          "state<f32[100,2,16,6]>",
                                          "i32[3]",
                                          "i32[3]",
                                          "i32[2,64]",
                                          "i32[2]"};
  const double small = (3 * 4 * 8 + 3 + 3 + 2 * 64 + 2) * 4;
  const double cached = 2 * 8 * 2 + 2 * 6 * 4;  // bytes of one cached token
  const OpCost cost = CostOf("attention", types, {{"scale", 1.0}}, /*context=*/50);
  EXPECT_EQ(cost.flops, 3 * 4 * 50 * (2 * (8 + 6) + 4));
  EXPECT_EQ(cost.bytes_read, small + 2 * 50 * cached);
  EXPECT_EQ(cost.bytes_written, 3 * 4 * 6 * 4);
  // A sequence without tokens in this step is not read.
  std::vector<std::string> more = types;
  more[5] = "i32[9,64]";
  more[6] = "i32[9]";
  const OpCost more_sequences = CostOf("attention", more, {{"scale", 1.0}}, /*context=*/50);
  EXPECT_EQ(more_sequences.bytes_read, small + 7 * (64 + 1) * 4 + 3 * 50 * cached);
  const OpCost window =
      CostOf("attention", types, {{"scale", 1.0}, {"window", int64_t{10}}}, /*context=*/50);
  EXPECT_EQ(window.flops, cost.flops / 5);
  EXPECT_EQ(window.bytes_read, small + 2 * 10 * cached);
}

}  // namespace
}  // namespace sluice
