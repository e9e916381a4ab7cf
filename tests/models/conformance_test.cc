// Whole models against golden logits: the pack beside the checkout where it is, and a subset in
// tests/data/models anywhere.
//
// Tolerances are the pack's own (see its README): the float32 limit for the reference with a
// float32 cache, the native one for the CPU backend with a 16-bit cache. NMSE = sum (a-b)^2 / sum
// a^2.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include <nlohmann/json.hpp>

#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/proto_io.h"
#include "graph/text.h"
#include "models/model.h"
#include "runtime/session.h"
#include "tests/support/golden_logits.h"
#include "tests/support/golden_models.h"
#include "tests/support/greedy.h"
#include "tests/support/paths.h"
#include "tools/debug/random_data.h"
#include "tools/engine/session.h"

namespace sluice {
namespace {

using Json = nlohmann::json;

Json ReadJson(const std::string& path) { return Json::parse(std::ifstream(path)); }

absl::StatusOr<std::unique_ptr<Session>> OpenSession(const Model& model, Backend& backend,
                                                     DType cache, int64_t tokens,
                                                     int64_t seqs = 1) {
  DecoderOptions options{.max_tokens = tokens, .max_seqs = seqs, .k_type = cache, .v_type = cache};
  // With a cache of 16 bits everything is as `sluice run` does it, weights in their layouts
  // included.
  const int64_t prepack_bytes = cache == DType::kF16 ? int64_t{1} << 40 : 0;
  return tools::OpenSession(model, backend, options,
                            {.max_outputs = tokens, .prepack_bytes = prepack_bytes});
}

class GoldenLogits : public testing::TestWithParam<GoldenModel> {
 protected:
  void Check(Backend& backend, DType cache, const char* tolerance) {
    const Json& entry = GetParam().entry;
    auto model = Model::Load(GetParam().path());
    ASSERT_TRUE(model.ok()) << model.status();
    const std::vector<int32_t> prompt = entry["prompt"];
    const std::vector<float> golden = ReadFloats(GetParam().golden_path());
    const double limit = entry["tolerance"][tolerance];
    auto session = OpenSession(**model, backend, cache, static_cast<int64_t>(prompt.size()));
    ASSERT_TRUE(session.ok()) << session.status();
    for (size_t chunk : {prompt.size(), size_t{7}}) {
      auto logits = LogitsOf(**session, prompt, chunk);
      ASSERT_TRUE(logits.ok()) << logits.status();
      EXPECT_LT(Nmse({golden}, {*logits}), limit) << "in chunks of " << chunk;
    }
  }
};

TEST_P(GoldenLogits, Reference) {
  const auto backend = MakeRefBackend();
  Check(*backend, DType::kF32, "f32_compute_nmse");
}

TEST_P(GoldenLogits, CpuFloat32Cache) {
  const auto backend = MakeCpuBackend({.threads = 2});
  Check(*backend, DType::kF32, "f32_compute_nmse");
}

TEST_P(GoldenLogits, CpuFloat16Cache) {
  const auto backend = MakeCpuBackend({.threads = 2});
  Check(*backend, DType::kF16, "native_nmse");
}

TEST_P(GoldenLogits, GraphRoundTripsThroughTextAndProto) {
  auto model = Model::Load(GetParam().path());
  ASSERT_TRUE(model.ok()) << model.status();
  auto graph = (*model)->BuildGraph({});
  ASSERT_TRUE(graph.ok()) << graph.status();
  const std::string text = Print(*graph);
  auto parsed = Parse(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(Print(*parsed), text);
  auto loaded = FromProto(ToProto(*graph));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(Print(*loaded), text);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenLogits, testing::ValuesIn(GoldenModels()), GoldenModelName);

std::vector<GoldenModel> GreedyCases() {
  std::vector<GoldenModel> cases = GoldenModels();
  std::erase_if(cases, [](const GoldenModel& test) { return !test.entry.contains("greedy"); });
  return cases;
}

class GoldenText : public testing::TestWithParam<GoldenModel> {};

TEST_P(GoldenText, GreedyContinuation) {
  const Json& entry = GetParam().entry;
  auto model = Model::Load(GetParam().path());
  ASSERT_TRUE(model.ok()) << model.status();
  std::vector<int32_t> prompt = entry["prompt"];
  prompt.resize(entry["greedy"]["prompt_tokens"]);
  const std::vector<int32_t> golden = entry["greedy"]["continuation"];
  const auto ref = MakeRefBackend();
  const auto cpu = MakeCpuBackend({.threads = 2});
  for (Backend* backend : {ref.get(), cpu.get()}) {
    for (DType cache : {DType::kF32, DType::kF16}) {
      auto session = OpenSession(**model, *backend, cache, 64);
      ASSERT_TRUE(session.ok()) << session.status();
      const auto text = GreedyText(**session, prompt, golden.size());
      ASSERT_TRUE(text.ok()) << text.status();
      EXPECT_EQ(*text, golden) << backend->name() << " with a cache of " << Name(cache);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenText, testing::ValuesIn(GreedyCases()), GoldenModelName);

// Entries of the pack's qwen3.F32 that the subset does not have.
class LongAndBatch : public testing::Test {
 protected:
  void SetUp() override {
    if (ConformanceDir().empty()) GTEST_SKIP() << "the conformance pack is not beside the checkout";
    for (const GoldenModel& test : GoldenModels()) {
      if (test.entry.contains("long")) entry_ = test.entry;
    }
    auto model = Model::Load(GoldenModelsDir() + "/" + entry_["file"].get<std::string>());
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }
  Json entry_;
  std::unique_ptr<Model> model_;
};

TEST_F(LongAndBatch, SixHundredTokens) {
  const std::vector<int32_t> prompt = entry_["long"]["prompt"];
  const std::vector<float> golden = ReadFloats(GoldenModelsDir() + "/qwen3.F32.long.last.f32");
  const auto cpu = MakeCpuBackend({.threads = 2});
  const auto ref = MakeRefBackend();
  for (Backend* backend : {ref.get(), cpu.get()}) {
    auto session = OpenSession(*model_, *backend, DType::kF32, 256);
    ASSERT_TRUE(session.ok()) << session.status();
    const auto sequence = (*session)->NewSequence();
    auto logits = (*session)->Prefill(*sequence, prompt);
    ASSERT_TRUE(logits.ok()) << logits.status();
    // The pack's limit for this case.
    EXPECT_LT(Nmse({golden}, {{logits->begin(), logits->end()}}), 1e-8) << backend->name();
  }
}

TEST_F(LongAndBatch, TwoSequencesInOneStepGiveWhatEachGivesAlone) {
  const std::vector<int32_t> a = entry_["batch"]["a"], b = entry_["batch"]["b"];
  const auto cpu = MakeCpuBackend({.threads = 2});
  const auto ref = MakeRefBackend();
  for (Backend* backend : {ref.get(), cpu.get()}) {
    auto session = OpenSession(*model_, *backend, DType::kF32, 64, 2);
    ASSERT_TRUE(session.ok()) << session.status();
    auto alone_a = LogitsOf(**session, a, a.size());
    auto alone_b = LogitsOf(**session, b, b.size());
    ASSERT_TRUE(alone_a.ok() && alone_b.ok());
    const auto first = (*session)->NewSequence(), second = (*session)->NewSequence();
    std::vector<StepToken> step;
    std::vector<float> mixed_a, mixed_b;
    for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
      if (i < a.size()) step.push_back({first.get(), a[i], true});
      if (i < b.size()) step.push_back({second.get(), b[i], true});
    }
    auto logits = (*session)->Step(step);
    ASSERT_TRUE(logits.ok()) << logits.status();
    const auto width = static_cast<size_t>((*session)->vocabulary());
    for (size_t i = 0; i < step.size(); ++i) {
      auto& list = step[i].sequence == first.get() ? mixed_a : mixed_b;
      list.insert(list.end(), logits->begin() + static_cast<ptrdiff_t>(i * width),
                  logits->begin() + static_cast<ptrdiff_t>((i + 1) * width));
    }
    // The reference is bit-equal. In the CPU's GEMM the number of rows decides how sums are split:
    // roundings of float32, as in backend_parity_test.
    const double limit = backend == ref.get() ? 1e-300 : 1e-11;
    EXPECT_LT(Nmse({*alone_a}, {mixed_a}), limit) << backend->name();
    EXPECT_LT(Nmse({*alone_b}, {mixed_b}), limit) << backend->name();
  }
}

TEST(Stories260k, ReproducesTheGoldenTextAndLogits) {
  const std::string folder =
      (ConformanceDir().empty() ? TestDataDir() : ConformanceDir()) + "/stories260k";
  const Json manifest = ReadJson(folder + "/manifest.json");
  auto model = Model::Load(folder + "/" + manifest["model"].get<std::string>());
  ASSERT_TRUE(model.ok()) << model.status();
  auto tokenizer = (*model)->tokenizer();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto ref = MakeRefBackend();
  const auto cpu = MakeCpuBackend({.threads = 2});
  for (const Json& test : manifest["cases"]) {
    const std::vector<int32_t> ids = (*tokenizer)->Encode(test["prompt"].get<std::string>());
    EXPECT_EQ(ids, test["prompt_ids"].get<std::vector<int32_t>>());
    const std::vector<int32_t> golden = test["greedy"];
    std::vector<int32_t> whole = ids;
    whole.insert(whole.end(), golden.begin(), golden.end());
    whole.resize(test["logits_shape"][0]);
    const std::vector<float> golden_logits =
        ReadFloats(folder + "/" + test["logits"].get<std::string>());
    EXPECT_EQ((*tokenizer)->Detokenize(whole), test["text"].get<std::string>());
    for (Backend* backend : {ref.get(), cpu.get()}) {
      auto session = OpenSession(**model, *backend, DType::kF32, 128);
      ASSERT_TRUE(session.ok()) << session.status();
      const auto text = GreedyText(**session, ids, golden.size());
      ASSERT_TRUE(text.ok()) << text.status();
      EXPECT_EQ(*text, golden) << backend->name();
      auto logits = LogitsOf(**session, whole, whole.size());
      ASSERT_TRUE(logits.ok()) << logits.status();
      EXPECT_LT(Nmse({golden_logits}, {*logits}),
                manifest["tolerance"]["f32_compute_nmse"].get<double>())
          << backend->name();
    }
  }
}

}  // namespace
}  // namespace sluice
