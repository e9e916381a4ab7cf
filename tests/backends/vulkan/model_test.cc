// Whole models on the Vulkan backend, under validation: golden logits, what a run leaves behind,
// and what replaying a step costs the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <new>

#include "absl/strings/str_cat.h"
#include "backends/ref/ref_backend.h"
#include "models/model.h"
#include "runtime/encoder.h"
#include "runtime/generate.h"
#include "tests/backends/vulkan/vulkan_support.h"
#include "tests/support/golden_logits.h"
#include "tests/support/golden_models.h"
#include "tests/support/model_file.h"
#include "tools/debug/random_data.h"
#include "tools/engine/session.h"

namespace {

// Of this thread: drivers may do what they want on theirs.
thread_local int64_t allocations = 0;

}  // namespace

// Not inlined: GCC would take malloc and free for a mismatch with what stands in for them.
[[gnu::noinline]] void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace sluice {
namespace {

absl::StatusOr<std::unique_ptr<Session>> OpenSession(const Model& model, Backend& backend,
                                                     DecoderOptions options, int64_t outputs) {
  return tools::OpenSession(model, backend, options, {.max_outputs = outputs});
}

// The conformance pack's limit for a cache in f16, for every format of weights: activations are not
// rounded here. What is decoded to f16 when loaded is within it, too.
constexpr double kRoundedCache = 2e-5;

class VulkanModels : public VulkanTest, public testing::WithParamInterface<GoldenModel> {};

TEST_P(VulkanModels, GoldenLogits) {
  const nlohmann::json& entry = GetParam().entry;
  auto model = Model::Load(GetParam().path());
  ASSERT_TRUE(model.ok()) << model.status();
  const std::vector<int32_t> prompt = entry["prompt"];
  const std::vector<float> golden = ReadFloats(GetParam().golden_path());
  auto session = OpenSession(**model, backend(),
                             {.max_tokens = static_cast<int64_t>(prompt.size()),
                              .k_type = DType::kF16,
                              .v_type = DType::kF16},
                             static_cast<int64_t>(prompt.size()));
  ASSERT_TRUE(session.ok()) << session.status();
  // At once, and in steps of a smaller bucket that do not fill it.
  for (const size_t chunk : {prompt.size(), size_t{7}}) {
    auto logits = LogitsOf(**session, prompt, chunk);
    ASSERT_TRUE(logits.ok()) << logits.status();
    EXPECT_LT(Nmse({golden}, {*logits}), kRoundedCache) << "in chunks of " << chunk;
  }
}

INSTANTIATE_TEST_SUITE_P(All, VulkanModels, testing::ValuesIn(GoldenModels()), GoldenModelName);

class VulkanOddWidths : public VulkanTest {};

// A feed-forward length that is no multiple of 4: ffn_down has such rows.
TEST_F(VulkanOddWidths, GiveTheReferencesLogits) {
  const std::vector<int32_t> ids = {0, 3, 5, 1, 2, 4, 4, 0, 1};
  const auto ref = MakeRefBackend();
  for (const int64_t width : {90, 91}) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      ModelFile file("qwen2", 2);
      file.Int(".feed_forward_length", static_cast<uint32_t>(width));
      for (const char* layer : {"blk.0.", "blk.1."}) {
        const auto tensor = [&](const char* name, std::vector<int64_t> shape) {
          file.Tensor(absl::StrCat(layer, name), std::move(shape), dtype);
        };
        tensor("ffn_gate.weight", {width, 32});
        tensor("ffn_up.weight", {width, 32});
        tensor("ffn_down.weight", {32, width});
      }
      ModelFiles files;
      files.push_back(file.RandomWeights().Open());
      auto model = Model::FromFiles(std::move(files));
      ASSERT_TRUE(model.ok()) << model.status();
      for (const size_t chunk : {ids.size(), size_t{1}}) {
        std::vector<std::vector<float>> logits;
        for (Backend* each : {ref.get(), &backend()}) {
          auto session = OpenSession(
              **model, *each,
              {.max_tokens = 9, .context = 32, .k_type = DType::kF32, .v_type = DType::kF32}, 9);
          ASSERT_TRUE(session.ok()) << session.status();
          auto got = LogitsOf(**session, ids, chunk);
          ASSERT_TRUE(got.ok()) << got.status();
          logits.push_back(*std::move(got));
        }
        // Values are rounded to f32 between ops, 2^-24 each; caches round nothing.
        EXPECT_LT(Nmse({logits[0]}, {logits[1]}), 1e-11) << width << " " << Name(dtype);
      }
    }
  }
}

// Encoders have ops of their own; the pack has no model of the kind.
class VulkanEncoder : public VulkanTest {};

TEST_F(VulkanEncoder, GivesTheReferencesVectors) {
  const std::vector<std::vector<int32_t>> texts = {
      {2, 4, 6, 5, 3}, {2, 3}, {2, 7, 8, 9, 9, 4, 5, 6, 7, 8, 9, 4, 1, 1, 4, 5, 8, 7, 3}};
  ModelFiles files;
  files.push_back(ModelFile::Bert(2).RandomWeights().Open());
  auto model = Model::FromFiles(std::move(files));
  ASSERT_TRUE(model.ok()) << model.status();
  const auto ref = MakeRefBackend();
  for (const Pooling pooling : {Pooling::kNone, Pooling::kMean, Pooling::kCls}) {
    std::vector<std::vector<std::vector<float>>> vectors;
    for (Backend* each : {ref.get(), &backend()}) {
      auto session =
          OpenSession(**model, *each, {.max_tokens = 40, .max_seqs = 4, .pooling = pooling}, 40);
      ASSERT_TRUE(session.ok()) << session.status();
      auto encoder = Encoder::Create(**session);
      ASSERT_TRUE(encoder.ok()) << encoder.status();
      auto encoded = encoder->Encode(texts);
      ASSERT_TRUE(encoded.ok()) << encoded.status();
      vectors.push_back(*std::move(encoded));
    }
    // Values are rounded to f32 between ops, 2^-24 each; norms keep them from growing.
    EXPECT_LT(Nmse(vectors[0], vectors[1]), 1e-12) << Name(pooling);
  }
}

class VulkanSession : public VulkanTest {
 protected:
  void SetUp() override {
    VulkanTest::SetUp();
    if (IsSkipped()) return;
    auto model = Model::LoadEmbedded();
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }
  std::unique_ptr<Model> model_;
};

std::vector<int32_t> Continue(Session& session, int64_t tokens, std::vector<int64_t>* counts) {
  std::vector<int32_t> text;
  text.reserve(static_cast<size_t>(tokens));
  counts->reserve(static_cast<size_t>(tokens));
  GenerateOptions options{.max_tokens = tokens, .sampling = {.temperature = 0}};
  options.on_token = [&](int32_t token) {
    text.push_back(token);
    counts->push_back(::allocations);
    return true;
  };
  const auto result = Generate(session, {1, 2, 3}, options);
  EXPECT_TRUE(result.ok()) << result.status();
  return text;
}

TEST_F(VulkanSession, WritesTheReferencesStory) {
  const auto ref = MakeRefBackend();
  std::vector<std::vector<int32_t>> texts;
  for (Backend* each : {ref.get(), &backend()}) {
    auto session = OpenSession(*model_, *each, {.max_tokens = 16, .context = 64}, 1);
    ASSERT_TRUE(session.ok()) << session.status();
    std::vector<int64_t> counts;
    texts.push_back(Continue(**session, 24, &counts));
  }
  EXPECT_EQ(texts[0], texts[1]);
}

TEST_F(VulkanSession, ReplayAllocatesNothingOnTheHost) {
  const auto plain = MakeVulkanBackend();  // the validation layers allocate
  ASSERT_TRUE(plain.ok()) << plain.status();
  auto session = OpenSession(*model_, **plain, {.max_tokens = 16, .context = 64}, 1);
  ASSERT_TRUE(session.ok()) << session.status();
  std::vector<int64_t> counts;
  Continue(**session, 40, &counts);
  ASSERT_EQ(counts.size(), 40u);
  EXPECT_GT(counts[0], 0);               // what is counted is counted
  EXPECT_EQ(counts[39] - counts[7], 0);  // the first steps compile the bucket and record it
}

class CountNodes : public RunObserver {
 public:
  void OnNode(const Node& node, absl::Span<const TensorView> operands,
              absl::Span<const TensorView> results, double seconds) override {
    ++nodes;
    EXPECT_GE(seconds, 0);
    EXPECT_EQ(operands.size(), node.operands().size());
    for (const TensorView& result : results) EXPECT_NE(result.data, nullptr) << node.name();
  }
  int nodes = 0;
};

TEST_F(VulkanSession, AnObserverSeesEveryNodeAndChangesNothing) {
  const std::vector<int32_t> ids = {1, 5, 9};
  auto session = OpenSession(*model_, backend(), {.max_tokens = 4, .context = 32}, 4);
  ASSERT_TRUE(session.ok()) << session.status();
  auto plain = LogitsOf(**session, ids, 1);
  ASSERT_TRUE(plain.ok()) << plain.status();
  CountNodes observer;
  (*session)->set_observer(&observer);
  auto watched = LogitsOf(**session, ids, 1);
  ASSERT_TRUE(watched.ok()) << watched.status();
  EXPECT_EQ(*plain, *watched);
  const auto executable = (*session)->ExecutableFor(1);
  ASSERT_TRUE(executable.ok());
  EXPECT_EQ(observer.nodes, 3 * static_cast<int>((*executable)->graph().nodes().size()));
}

class AddTimes : public RunObserver {
 public:
  bool needs_values() const override { return false; }
  void OnNode(const Node&, absl::Span<const TensorView>, absl::Span<const TensorView> results,
              double time) override {
    ++nodes;
    seconds += time;
    EXPECT_TRUE(results.empty());
  }
  int nodes = 0;
  double seconds = 0;
};

TEST_F(VulkanSession, TheDeviceTimesEveryNodeOfAWholeStep) {
  const std::vector<int32_t> ids = {1, 5, 9};
  auto session = OpenSession(*model_, backend(), {.max_tokens = 4, .context = 32}, 4);
  ASSERT_TRUE(session.ok()) << session.status();
  auto plain = LogitsOf(**session, ids, 1);
  ASSERT_TRUE(plain.ok()) << plain.status();
  AddTimes observer;
  (*session)->set_observer(&observer);
  const auto start = std::chrono::steady_clock::now();
  auto timed = LogitsOf(**session, ids, 1);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(timed.ok()) << timed.status();
  EXPECT_EQ(*plain, *timed);
  const auto executable = (*session)->ExecutableFor(1);
  ASSERT_TRUE(executable.ok());
  EXPECT_EQ(observer.nodes, 3 * static_cast<int>((*executable)->graph().nodes().size()));
  EXPECT_GT(observer.seconds, 0);
  EXPECT_LT(observer.seconds, elapsed.count());
}

TEST_F(VulkanSession, StatesOfOtherBackendsAreRefused) {
  auto graph = model_->BuildGraph({.max_tokens = 1, .context = 32});
  ASSERT_TRUE(graph.ok());
  const auto ref = MakeRefBackend();
  auto session = OpenSession(*model_, backend(), {.max_tokens = 1, .context = 32}, 1);
  ASSERT_TRUE(session.ok()) << session.status();
  auto executable = (*session)->ExecutableFor(1);
  ASSERT_TRUE(executable.ok());
  RunArgs args;
  for (const SymbolDef& symbol : (*executable)->graph().symbols()) {
    args.symbols.Set(symbol.name, symbol.bound);
  }
  std::vector<std::vector<int32_t>> data;
  std::vector<TensorView> inputs;
  for (const auto& input : (*executable)->graph().inputs()) {
    auto dims = args.symbols.Evaluate(input->type().shape);
    ASSERT_TRUE(dims.ok());
    TensorView view{.dtype = input->type().dtype, .dims = *dims};
    data.emplace_back(static_cast<size_t>(view.elements()));
    view.data = reinterpret_cast<std::byte*>(data.back().data());
    inputs.push_back(view);
  }
  std::vector<std::unique_ptr<Buffer>> buffers;
  std::vector<Buffer*> states;
  for (const auto& state : (*executable)->graph().states()) {
    auto buffer = ref->Allocate(*args.symbols.EvaluateBytes(state->type()));
    ASSERT_TRUE(buffer.ok());
    states.push_back(buffers.emplace_back(*std::move(buffer)).get());
  }
  args.inputs = inputs;
  args.states = states;
  EXPECT_THAT(std::string((*executable)->Run(args).message()),
              testing::HasSubstr("is not from this backend"));
}

}  // namespace
}  // namespace sluice
