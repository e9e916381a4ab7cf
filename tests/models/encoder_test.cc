// Encoders from file to vector: a BERT with random weights against its formulae written down
// plainly, on both backends, in steps of one text and of several; pooling; what is refused; and
// `sluice embed`.
#include "runtime/encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/text.h"
#include "models/model.h"
#include "models/weights/quantisation_mix.h"
#include "tests/support/model_file.h"
#include "tools/debug/verify.h"
#include "tools/engine/session.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<int32_t>;
using Vectors = std::vector<std::vector<float>>;

// --- The formulae ---------------------------------------------------------------------------

using Row = std::vector<double>;
using Rows = std::vector<Row>;

// BERT in float64, one text, one row at a time (Devlin et al. 2018, arXiv:1810.04805).
class PlainBert {
 public:
  explicit PlainBert(const GgufFile& file) : file_(file) {}

  Rows Encode(const Ids& ids, int layers) const {
    Rows x;
    for (size_t t = 0; t < ids.size(); ++t) {
      Row row = TableRow("token_embd", static_cast<size_t>(ids[t]));
      row = Sum(Sum(row, TableRow("token_types", 0)), TableRow("position_embd", t));
      x.push_back(Norm("token_embd_norm", row));
    }
    for (int layer = 0; layer < layers; ++layer) x = Layer(absl::StrCat("blk.", layer, "."), x);
    return x;
  }

 private:
  static constexpr size_t kWidth = 32, kHeads = 4, kHead = kWidth / kHeads;

  Row Tensor(const std::string& name) const {
    const StoredTensor* tensor = file_.FindTensor(name);
    EXPECT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->dtype, DType::kF32) << name;
    const auto* data = reinterpret_cast<const float*>(file_.Data(*tensor).data());
    return Row(data, data + tensor->bytes / 4);
  }
  Row TableRow(const std::string& name, size_t row) const {
    const Row table = Tensor(name + ".weight");
    const auto first = table.begin() + static_cast<ptrdiff_t>(row * kWidth);
    return Row(first, first + kWidth);
  }

  static Row Sum(Row a, const Row& b) {
    for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
    return a;
  }

  Row Norm(const std::string& name, Row row) const {
    const Row gain = Tensor(name + ".weight"), bias = Tensor(name + ".bias");
    const auto n = static_cast<double>(row.size());
    double mean = 0, variance = 0;
    for (const double x : row) mean += x / n;
    for (const double x : row) variance += (x - mean) * (x - mean) / n;
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] = (row[i] - mean) / std::sqrt(variance + 1e-12) * gain[i] + bias[i];
    }
    return row;
  }

  Rows Linear(const std::string& name, const Rows& x) const {
    const Row weight = Tensor(name + ".weight"), bias = Tensor(name + ".bias");
    Rows out;
    for (const Row& row : x) {
      out.push_back(bias);
      for (size_t o = 0; o < bias.size(); ++o) {
        for (size_t i = 0; i < row.size(); ++i) {
          out.back()[o] += weight[o * row.size() + i] * row[i];
        }
      }
    }
    return out;
  }

  static Rows Attention(const Rows& q, const Rows& k, const Rows& v) {
    Rows out(q.size(), Row(kWidth, 0.0));
    for (size_t t = 0; t < q.size(); ++t) {
      for (size_t first = 0; first < kWidth; first += kHead) {
        Row weights;
        for (const Row& key : k) {
          double score = 0;
          for (size_t i = first; i < first + kHead; ++i) score += q[t][i] * key[i];
          weights.push_back(std::exp(score / std::sqrt(double{kHead})));
        }
        double total = 0;
        for (const double weight : weights) total += weight;
        for (size_t j = 0; j < v.size(); ++j) {
          for (size_t i = first; i < first + kHead; ++i) out[t][i] += weights[j] / total * v[j][i];
        }
      }
    }
    return out;
  }

  static double Gelu(double x) {  // llama.cpp's form
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
  }

  Rows Layer(const std::string& blk, const Rows& x) const {
    const Rows seen = Linear(
        blk + "attn_output",
        Attention(Linear(blk + "attn_q", x), Linear(blk + "attn_k", x), Linear(blk + "attn_v", x)));
    Rows n;
    for (size_t t = 0; t < x.size(); ++t) {
      n.push_back(Norm(blk + "attn_output_norm", Sum(x[t], seen[t])));
    }
    Rows h = Linear(blk + "ffn_up", n);
    for (Row& row : h) std::transform(row.begin(), row.end(), row.begin(), Gelu);
    Rows y = Linear(blk + "ffn_down", h);
    for (size_t t = 0; t < y.size(); ++t) y[t] = Norm(blk + "layer_output_norm", Sum(y[t], n[t]));
    return y;
  }

  const GgufFile& file_;
};

std::vector<float> Flat(const Rows& rows) {
  std::vector<float> flat;
  for (const Row& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  return flat;
}

double Nmse(const std::vector<float>& expected, const std::vector<float>& got) {
  EXPECT_EQ(expected.size(), got.size());
  double errors = 0, squares = 0;
  for (size_t i = 0; i < std::min(expected.size(), got.size()); ++i) {
    errors += (double{expected[i]} - got[i]) * (double{expected[i]} - got[i]);
    squares += double{expected[i]} * expected[i];
  }
  return errors / squares;
}

// --- A model at work ------------------------------------------------------------------------

// Not one of them a whole number of cache blocks, which have 16 tokens.
const std::vector<Ids> kTexts = {{2, 4, 6, 5, 3},
                                 {2, 3},
                                 {2, 7, 8, 9, 9, 4, 5, 6, 7, 8, 9, 4, 1, 1, 4, 5, 8, 7, 3},
                                 {2, 5, 4, 3}};

std::unique_ptr<Model> Load(const ModelFile& file) {
  ModelFiles files;
  files.push_back(file.Open());
  absl::StatusOr<std::unique_ptr<Model>> model = Model::FromFiles(std::move(files));
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

struct Setup {
  std::optional<Pooling> pooling = {};
  int64_t max_tokens = 40;
  int64_t max_seqs = 8;
};

absl::StatusOr<Vectors> TryEncode(const Model& model, Backend& backend, const std::vector<Ids>& ids,
                                  const Setup& setup = {}) {
  auto session = tools::OpenSession(
      model, backend,
      {.max_tokens = setup.max_tokens, .max_seqs = setup.max_seqs, .pooling = setup.pooling},
      {.max_outputs = setup.max_tokens, .prepack_bytes = 1 << 20});
  EXPECT_TRUE(session.ok()) << session.status();
  absl::StatusOr<Encoder> encoder = Encoder::Create(**session);
  EXPECT_TRUE(encoder.ok()) << encoder.status();
  return encoder->Encode(ids);
}

Vectors Encode(const Model& model, Backend& backend, const std::vector<Ids>& ids,
               const Setup& setup = {}) {
  absl::StatusOr<Vectors> vectors = TryEncode(model, backend, ids, setup);
  EXPECT_TRUE(vectors.ok()) << vectors.status();
  if (!vectors.ok()) return Vectors(ids.size());
  EXPECT_EQ(vectors->size(), ids.size());
  return *std::move(vectors);
}

std::unique_ptr<Backend> Cpu() { return MakeCpuBackend({.threads = 1}); }

// Values are rounded to f32 between ops, 2^-24 each; norms keep them from growing.
constexpr double kRounded = 1e-12;

TEST(Encoder, BothBackendsDoWhatTheFormulaeSay) {
  const ModelFile file = ModelFile::Bert(2).RandomWeights();
  const std::unique_ptr<GgufFile> weights = file.Open();
  const std::unique_ptr<Model> model = Load(file);
  const std::unique_ptr<Backend> ref = MakeRefBackend(), cpu = Cpu();
  for (Backend* backend : {ref.get(), cpu.get()}) {
    const Vectors got = Encode(*model, *backend, kTexts, {.pooling = Pooling::kNone});
    for (size_t i = 0; i < kTexts.size(); ++i) {
      EXPECT_LE(Nmse(Flat(PlainBert(*weights).Encode(kTexts[i], 2)), got[i]), kRounded) << i;
    }
  }
}

TEST(Encoder, ATextGivesTheSameInAnyCompany) {
  const std::unique_ptr<Model> model = Load(ModelFile::Bert(2).RandomWeights());
  const std::unique_ptr<Backend> ref = MakeRefBackend(), cpu = Cpu();
  for (const Pooling pooling : {Pooling::kNone, Pooling::kMean, Pooling::kCls, Pooling::kLast}) {
    SCOPED_TRACE(Name(pooling));
    for (Backend* backend : {ref.get(), cpu.get()}) {
      const Vectors together = Encode(*model, *backend, kTexts, {.pooling = pooling});
      const Vectors by_two =
          Encode(*model, *backend, kTexts, {.pooling = pooling, .max_tokens = 21, .max_seqs = 2});
      for (size_t i = 0; i < kTexts.size(); ++i) {
        const Vectors alone = Encode(*model, *backend, {kTexts[i]}, {.pooling = pooling});
        // Kernels for other numbers of rows add up in another order.
        EXPECT_LE(Nmse(alone[0], together[i]), kRounded) << i;
        EXPECT_LE(Nmse(alone[0], by_two[i]), kRounded) << i;
      }
    }
  }
}

TEST(Encoder, Pools) {
  const std::unique_ptr<Model> model = Load(ModelFile::Bert().RandomWeights());
  const std::unique_ptr<Backend> cpu = Cpu();
  const Vectors rows = Encode(*model, *cpu, kTexts, {.pooling = Pooling::kNone});
  const Vectors mean = Encode(*model, *cpu, kTexts);  // as the file says
  const Vectors cls = Encode(*model, *cpu, kTexts, {.pooling = Pooling::kCls});
  const Vectors last = Encode(*model, *cpu, kTexts, {.pooling = Pooling::kLast});
  for (size_t i = 0; i < kTexts.size(); ++i) {
    ASSERT_EQ(rows[i].size(), kTexts[i].size() * 32);
    EXPECT_EQ(cls[i], std::vector<float>(rows[i].begin(), rows[i].begin() + 32));
    EXPECT_EQ(last[i], std::vector<float>(rows[i].end() - 32, rows[i].end()));
    std::vector<float> expected(32);
    for (size_t j = 0; j < rows[i].size(); ++j) {
      expected[j % 32] += rows[i][j] / static_cast<float>(kTexts[i].size());
    }
    EXPECT_LE(Nmse(expected, mean[i]), kRounded) << i;
  }
}

TEST(Encoder, EveryTokenSeesTheWholeTextUnlessTheFileSaysOtherwise) {
  const std::unique_ptr<Backend> ref = MakeRefBackend();
  const std::vector<Ids> texts = {{2, 4, 5, 3}, {2, 4, 5, 9}};
  for (const bool causal : {false, true}) {
    const std::unique_ptr<Model> model =
        Load(ModelFile::Bert(2).RandomWeights().Bool(".attention.causal", causal));
    const Vectors first = Encode(*model, *ref, texts, {.pooling = Pooling::kCls});
    EXPECT_EQ(first[0] == first[1], causal);
  }
}

TEST(Encoder, QuantisedAndHalfPrecisionWeights) {
  ModelFile file = ModelFile::Bert(2).RandomWeights();
  for (const char* table : {"token_embd", "position_embd", "token_types"}) {
    file.Tensor(absl::StrCat(table, ".weight"),
                {std::string(table) == "token_embd" ? 10 : (table[0] == 'p' ? 40 : 2), 32},
                DType::kF16);
  }
  for (const std::string blk : {"blk.0.", "blk.1."}) {
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
      file.Tensor(absl::StrCat(blk, name, ".weight"), {32, 32}, DType::kQ8_0);
    }
    file.Tensor(blk + "ffn_up.weight", {64, 32}, DType::kQ8_0);
    file.Tensor(blk + "ffn_down.weight", {32, 64}, DType::kQ8_0);
  }
  const std::unique_ptr<Model> model = Load(file);
  const std::unique_ptr<Backend> ref = MakeRefBackend(), cpu = Cpu();
  const Vectors expected = Encode(*model, *ref, kTexts), got = Encode(*model, *cpu, kTexts);
  // The CPU's products with Q8_0 round activations to 8 bits, by up to 2^-8 of the largest of 32:
  // NMSE 1e-4 or less each, and four follow each other in a layer.
  for (size_t i = 0; i < kTexts.size(); ++i) EXPECT_LE(Nmse(expected[i], got[i]), 1e-3) << i;
}

TEST(Encoder, QuantisersLeaveThePositionsAlone) {
  EXPECT_TRUE(IsQuantisable("token_embd.weight", {10, 32}));
  EXPECT_FALSE(IsQuantisable("position_embd.weight", {40, 32}));
  EXPECT_FALSE(IsQuantisable("token_types.weight", {2, 32}));
}

TEST(Encoder, FusedProjectionsAreTheSameModel) {
  const ModelFile apart = ModelFile::Bert();
  ModelFile fused = apart;
  for (const char* part : {"attn_q", "attn_k", "attn_v"}) {
    fused.RemoveTensor(absl::StrCat("blk.0.", part, ".weight"));
    fused.RemoveTensor(absl::StrCat("blk.0.", part, ".bias"));
  }
  fused.Tensor("blk.0.attn_qkv.weight", {96, 32}).Tensor("blk.0.attn_qkv.bias", {96});
  EXPECT_EQ(Print(*Load(fused)->BuildGraph({})), Print(*Load(apart)->BuildGraph({})));
}

// --- The graph ------------------------------------------------------------------------------

TEST(EncoderGraph, EveryPassKeepsItsValues) {
  const std::unique_ptr<Model> model = Load(ModelFile::Bert(2).RandomWeights());
  const std::unique_ptr<Backend> cpu = Cpu();
  for (const Pooling pooling : {Pooling::kMean, Pooling::kCls}) {
    const absl::StatusOr<Graph> graph = model->BuildGraph({.max_tokens = 40, .pooling = pooling});
    ASSERT_TRUE(graph.ok()) << graph.status();
    const auto steps = ComparePasses(DecoderSetup{*graph, model->weights(), kTexts[2]}, *cpu,
                                     {.tolerance = kRounded});
    ASSERT_TRUE(steps.ok()) << steps.status();
    EXPECT_TRUE(std::any_of(steps->begin(), steps->end(), [](const StepComparison& step) {
      return step.step == "after fuse_qkv, the text, 19 tokens";
    }));
    EXPECT_EQ(FirstFault(*steps), nullptr);
  }
}

TEST(EncoderGraph, LayersTakeTurnsWithOneCache) {
  const std::unique_ptr<Model> model = Load(ModelFile::Bert(3));
  const absl::StatusOr<Graph> graph = model->BuildGraph({.max_tokens = 64, .max_seqs = 5});
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_EQ(graph->states().size(), 2u);
  // The 64 tokens of a step, and what five sequences leave of their last blocks.
  EXPECT_EQ(graph->Bounds().Get("blocks"), 64 / 16 + 5);
  EXPECT_EQ(graph->states()[0]->type().ToString(), "state<f32[blocks,4,16,8]>");
}

// --- Errors ---------------------------------------------------------------------------------

std::string LoadError(const ModelFile& file) {
  ModelFiles files;
  files.push_back(file.Open());
  const auto model = Model::FromFiles(std::move(files));
  return model.ok() ? "no error" : std::string(model.status().message());
}

TEST(EncoderErrors, MissingKeysAndTensorsAreNamed) {
  for (const char* key : {".attention.layer_norm_epsilon", ".attention.causal", ".block_count",
                          ".context_length", ".embedding_length", ".attention.head_count"}) {
    EXPECT_THAT(LoadError(ModelFile::Bert().Remove(key)),
                HasSubstr(absl::StrCat("required key 'bert", key, "' is missing")));
  }
  EXPECT_THAT(LoadError(ModelFile::Bert().Remove("tokenizer.ggml.token_type_count")),
              HasSubstr("required key 'tokenizer.ggml.token_type_count' is missing"));
  for (const char* tensor :
       {"token_types.weight", "position_embd.weight", "token_embd_norm.bias",
        "blk.0.attn_output_norm.bias", "blk.0.layer_output_norm.weight", "blk.0.ffn_up.weight"}) {
    EXPECT_THAT(LoadError(ModelFile::Bert().RemoveTensor(tensor)),
                HasSubstr(absl::StrCat("tensor '", tensor, "': missing")));
  }
}

TEST(EncoderErrors, PoolingIsCheckedAndDefaultsToNone) {
  EXPECT_THAT(LoadError(ModelFile::Bert().Int(".pooling_type", 4)),
              HasSubstr("'bert.pooling_type': a model that ranks texts is not supported"));
  EXPECT_THAT(LoadError(ModelFile::Bert().Int(".pooling_type", 5)),
              HasSubstr("'bert.pooling_type': expected 0 to 4, got 5"));
  EXPECT_EQ(PoolingOf(*Load(ModelFile::Bert().Remove(".pooling_type"))->BuildGraph({})),
            Pooling::kNone);
}

TEST(EncoderErrors, TextsThatNoStepCanTake) {
  const std::unique_ptr<Model> model = Load(ModelFile::Bert().RandomWeights());
  const std::unique_ptr<Backend> ref = MakeRefBackend();
  const auto message = [&](const std::vector<Ids>& ids) {
    return std::string(TryEncode(*model, *ref, ids, {.max_tokens = 64}).status().message());
  };
  EXPECT_EQ(message({{2, 3}, {}}), "text 1 has 0 tokens, expected 1 to 40");
  EXPECT_EQ(message({Ids(41, 4)}), "text 0 has 41 tokens, expected 1 to 40");
  EXPECT_EQ(message({Ids(40, 4)}), "");
  EXPECT_THAT(message({{2, 10, 3}}), HasSubstr("token id 10 is not in 0 to 9"));
}

TEST(EncoderErrors, ADecoderIsNone) {
  const std::unique_ptr<Model> model = *Model::LoadEmbedded();
  const std::unique_ptr<Backend> ref = MakeRefBackend();
  const auto session = tools::OpenSession(*model, *ref, {.max_tokens = 4});
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_THAT(std::string(Encoder::Create(**session).status().message()),
              HasSubstr("the graph is no encoder"));
}

TEST(Normalize, MakesLengthOne) {
  std::vector<float> x = {3, -4}, zeros = {0, 0};
  Normalize(absl::MakeSpan(x));
  Normalize(absl::MakeSpan(zeros));
  EXPECT_THAT(x, ElementsAre(0.6F, -0.8F));
  EXPECT_THAT(zeros, ElementsAre(0, 0));
}

// --- sluice embed ---------------------------------------------------------------------------

class EmbedCommand : public testing::Test {
 protected:
  void SetUp() override { ModelFile::Bert(2).RandomWeights().Write(path_); }
  void TearDown() override { std::filesystem::remove(path_); }

  // What it prints, errors too; MODEL stands for the file.
  std::string Run(const std::string& before, const std::string& after, int expected = 0) {
    const std::string line = absl::StrCat(before, SLUICE_BINARY, " ", after, " 2>&1");
    FILE* pipe = popen(line.c_str(), "r");
    std::string out;
    char buffer[4096];
    for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) out.append(buffer, n);
    EXPECT_EQ(WEXITSTATUS(pclose(pipe)), expected) << line << "\n" << out;
    return out;
  }
  nlohmann::json Embed(const std::string& before, const std::string& options) {
    return nlohmann::json::parse(
        Run(before, absl::StrCat("embed ", path_, " --output json ", options)))["data"];
  }

  const std::string path_ = ModelFile::Path();
};

TEST_F(EmbedCommand, EmbedsEachLine) {
  const nlohmann::json got =
      Embed("printf 'hello, world\\n\\nworlds' | ", "-f - --no-normalize --backend ref");
  ASSERT_EQ(got.size(), 3u);
  const std::unique_ptr<Model> model = *Model::Load(path_);
  const std::unique_ptr<Backend> ref = MakeRefBackend();
  const Vectors expected = Encode(*model, *ref, {{2, 4, 6, 5, 3}, {2, 3}, {2, 5, 9, 3}});
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(got[i]["index"], i);
    EXPECT_EQ(got[i]["embedding"].get<std::vector<float>>(), expected[i]);
  }
}

TEST_F(EmbedCommand, NormalizesAndPools) {
  const auto vector = Embed("", "-p 'a b'")[0]["embedding"].get<std::vector<double>>();
  double squares = 0;
  for (const double x : vector) squares += x * x;
  EXPECT_NEAR(squares, 1, 1e-6);  // each of 32 elements is rounded to f32
  EXPECT_NE(Embed("", "-p 'a b' --pooling cls")[0], Embed("", "-p 'a b'")[0]);
  EXPECT_EQ(Embed("", "-p 'a b' --pooling none")[0]["embedding"].size(), 4u);  // with [CLS], [SEP]
  const std::string text = Run("", absl::StrCat("embed ", path_, " -p 'a b' --pooling none"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);
}

TEST_F(EmbedCommand, LongTextsAreRefusedOrCut) {
  std::string words;
  for (int i = 0; i < 60; ++i) absl::StrAppend(&words, "a ");
  const std::string command = absl::StrCat("embed ", path_, " -p '", words, "'");
  EXPECT_THAT(Run("", command, 1),
              HasSubstr("text 1 has 62 tokens, expected 1 to 40; --truncate cuts it off"));
  const std::string cut = words.substr(0, 2 * 38);
  EXPECT_EQ(Run("", command + " --truncate"),
            Run("", absl::StrCat("embed ", path_, " -p '", cut, "'")));
}

TEST_F(EmbedCommand, EachKindOfModelHasItsCommands) {
  for (const char* command : {"run -p a", "bench -p 8 -n 1", "logits --ids 1,2 --out /dev/null"}) {
    EXPECT_THAT(Run("", absl::StrCat(command, " -m ", path_), 1),
                HasSubstr("'bert' is an encoder, which writes no text: use `sluice embed`"));
  }
  EXPECT_THAT(Run("", "embed -p a", 1), HasSubstr("is a decoder"));
  EXPECT_THAT(Run("", absl::StrCat("verify ", path_, " -t 1")), HasSubstr("agree"));
  EXPECT_THAT(Run("", absl::StrCat("dump ", path_, " --final")), HasSubstr("layer_norm"));
  EXPECT_THAT(Run("", absl::StrCat("passes ", path_)), HasSubstr("fuse_qkv"));
  EXPECT_THAT(Run("", absl::StrCat("profile ", path_, " -p 8 -t 1")), HasSubstr("attention"));
  EXPECT_THAT(Run("", absl::StrCat("inspect ", path_)), HasSubstr("bert"));
}

}  // namespace
}  // namespace sluice
