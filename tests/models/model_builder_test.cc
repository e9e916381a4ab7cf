// Model files to graphs: the text of every architecture's graph, where weights are found, and what
// is said about files that are wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <regex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "graph/ops/linear.h"
#include "graph/text.h"
#include "models/model.h"
#include "tests/support/model_file.h"
#include "tests/support/paths.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr DecoderOptions kSmall = {.max_tokens = 8, .max_seqs = 2, .context = 64};

absl::StatusOr<std::unique_ptr<Model>> TryLoad(const ModelFile& file) {
  ModelFiles files;
  files.push_back(file.Open());
  return Model::FromFiles(std::move(files));
}

std::unique_ptr<Model> Load(const ModelFile& file) {
  absl::StatusOr<std::unique_ptr<Model>> model = TryLoad(file);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

Graph Build(const Model& model, const DecoderOptions& options = kSmall) {
  absl::StatusOr<Graph> graph = model.BuildGraph(options);
  EXPECT_TRUE(graph.ok()) << graph.status();
  return graph.ok() ? *std::move(graph) : Graph();
}

// What Load() says about a file that it refuses, without the path.
std::string Error(const ModelFile& file) {
  const absl::StatusOr<std::unique_ptr<Model>> model = TryLoad(file);
  if (model.ok()) return "no error";
  const std::string message(model.status().message());
  const std::string prefix = absl::StrCat(ModelFile::Path(), ": ");
  EXPECT_EQ(message.substr(0, prefix.size()), prefix);
  return message.substr(std::min(message.size(), prefix.size()));
}

std::string ReadText(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// ---- The graphs, as text.

struct GoldenCase {
  std::string name;  // of the file in tests/data/ir/models
  ModelFile file;
};

std::vector<GoldenCase> GoldenCases() {
  return {
      {"llama", ModelFile("llama")
                    .Float(".rope.scaling.factor", 4)
                    .Tensor("rope_freqs.weight", {4})
                    .Tensor("output.weight", {6, 32}, DType::kQ8_0)},
      {"mixtral", ModelFile::WithExperts("llama")
                      .Tensor("blk.0.ffn_gate_inp.bias", {4})
                      .Tensor("blk.0.ffn_down_exps.bias", {4, 32})},
      {"qwen2", ModelFile("qwen2")
                    .Tensor("blk.0.attn_q.bias", {32})
                    .Tensor("blk.0.attn_k.bias", {16})
                    .Tensor("blk.0.attn_v.bias", {16})},
      {"qwen3", ModelFile("qwen3")
                    .Text(".rope.scaling.type", "yarn")
                    .Float(".rope.scaling.factor", 4)
                    .Int(".rope.scaling.original_context_length", 32)
                    .Float(".rope.scaling.attn_factor", 1.25)},
      {"bert", ModelFile::Bert(2)},
      // A dense layer, then one with experts.
      {"qwen3moe", ModelFile::WithExperts("qwen3moe", 2, 1)},
  };
}

TEST(BuildGraph, EmitsTheGoldenText) {
  for (const GoldenCase& golden : GoldenCases()) {
    SCOPED_TRACE(golden.name);
    const std::unique_ptr<Model> model = Load(golden.file);
    ASSERT_NE(model, nullptr);
    EXPECT_THAT(model->warnings(), IsEmpty());
    const std::string path = absl::StrCat(TestDataDir(), "/ir/models/", golden.name, ".ir");
    const std::string actual = Print(Build(*model));
    const absl::StatusOr<Graph> parsed = Parse(actual);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(Print(*parsed), actual);
    const std::string copy = absl::StrCat(testing::TempDir(), golden.name, ".ir");
    if (actual != ReadText(path)) {
      std::ofstream(copy) << actual;
      ADD_FAILURE() << "the graph is not that of " << path << "; see " << copy << "\n" << actual;
    }
  }
}

TEST(BuildGraph, TakesBoundsAndCacheTypesFromTheOptions) {
  const std::unique_ptr<Model> model = Load(ModelFile("llama"));
  const Graph graph = Build(*model, {.max_tokens = 4,
                                     .max_seqs = 3,
                                     .context = 100,
                                     .block_size = 32,
                                     .k_type = DType::kF32,
                                     .v_type = DType::kF16});
  const SymbolValues bounds = graph.Bounds();
  EXPECT_EQ(bounds.Get("tokens"), 4);
  EXPECT_EQ(bounds.Get("outputs"), 4);
  EXPECT_EQ(bounds.Get("seqs"), 3);
  EXPECT_EQ(bounds.Get("table"), 4);
  EXPECT_EQ(bounds.Get("blocks"), 12);
  EXPECT_EQ(graph.Find("%l0.k_cache")->type().ToString(), "state<f32[blocks,2,32,8]>");
  EXPECT_EQ(graph.Find("%l0.v_cache")->type().ToString(), "state<f16[blocks,2,32,8]>");
}

TEST(BuildGraph, TakesHeadsAndLengthsFromTheConfig) {
  const std::unique_ptr<Model> model = Load(ModelFile("llama", 2)
                                                .Int(".attention.key_length", 16)
                                                .Ints(".attention.head_count_kv", {2, 1})
                                                .Int(".rope.dimension_count", 12)
                                                .Tensor("blk.0.attn_q.weight", {64, 32})
                                                .Tensor("blk.0.attn_k.weight", {32, 32})
                                                .Tensor("blk.1.attn_q.weight", {64, 32})
                                                .Tensor("blk.1.attn_k.weight", {16, 32})
                                                .Tensor("blk.1.attn_v.weight", {8, 32}));
  const Graph graph = Build(*model);
  EXPECT_EQ(graph.Find("%l0.k_cache")->type().ToString(), "state<f16[blocks,2,16,16]>");
  EXPECT_EQ(graph.Find("%l1.k_cache")->type().ToString(), "state<f16[blocks,1,16,16]>");
  EXPECT_EQ(graph.Find("%l1.v_cache")->type().ToString(), "state<f16[blocks,1,16,8]>");
  EXPECT_EQ(graph.Find("%l1.a")->type().ToString(), "f32[tokens,4,8]");
  EXPECT_THAT(Print(*graph.Find("%l1.a")->producer()), HasSubstr("{scale=0.25}"));
  EXPECT_THAT(Print(*graph.Find("%l1.kr")->producer()), HasSubstr("dims=12"));
}

TEST(BuildGraph, CachesOfBlocksNeedHeadsOfWholeBlocks) {
  const std::unique_ptr<Model> model = Load(ModelFile("llama"));
  const absl::Status status = model->BuildGraph({.v_type = DType::kQ8_0}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("a cache of q8_0 needs heads whose length is a multiple of 32, the model's "
                        "have 8: expected f32, f16 or bf16"));
}

TEST(BuildGraph, DefaultsToTheModelsContext) {
  const std::unique_ptr<Model> model = Load(ModelFile("llama").Int(".context_length", 100));
  const Graph graph = Build(*model, {});
  EXPECT_EQ(graph.Bounds().Get("table"), 7);
  EXPECT_EQ(graph.Bounds().Get("blocks"), 7);
}

TEST(BuildGraph, RejectsBadOptions) {
  const std::unique_ptr<Model> model = Load(ModelFile("llama"));
  const auto error = [&](const DecoderOptions& options) {
    return std::string(model->BuildGraph(options).status().message());
  };
  EXPECT_THAT(error({.max_tokens = 0}), HasSubstr("option max_tokens: expected 1 to 2147483647"));
  EXPECT_THAT(error({.max_seqs = -1}), HasSubstr("option max_seqs: expected 1 to 2147483647"));
  EXPECT_THAT(error({.context = -1}), HasSubstr("option context: expected 1 to 1073741824"));
  EXPECT_THAT(error({.block_size = 0}), HasSubstr("option block_size: expected 1 to 2147483647"));
  EXPECT_THAT(error({.blocks = -1}), HasSubstr("option blocks: expected 1 to 134217727, got -1"));
  // More slots than an i32 can number.
  EXPECT_THAT(error({.max_seqs = 1 << 30, .context = 1 << 30}),
              HasSubstr("option blocks: expected 1 to 134217727, got 72057594037927936"));
  EXPECT_THAT(error({.k_type = DType::kI32}), HasSubstr("%l0.kc"));
}

// ---- Where weights are found.

const StoredTensor& TensorOf(const Model& model, absl::string_view name) {
  const StoredTensor* tensor = model.file().FindTensor(name);
  EXPECT_NE(tensor, nullptr) << name;
  return *tensor;
}

// The pieces as offsets in the tensor and sizes: a view of the file, not a copy, or a failure.
std::vector<std::pair<int64_t, int64_t>> PiecesIn(const Model& model, absl::string_view weight,
                                                  absl::string_view tensor) {
  const absl::Span<const std::byte> data = model.file().Data(TensorOf(model, tensor));
  std::vector<std::pair<int64_t, int64_t>> pieces;
  for (const absl::Span<const std::byte> piece : model.weights().at(weight)) {
    EXPECT_GE(piece.data(), data.data());
    EXPECT_LE(piece.data() + piece.size(), data.data() + data.size());
    pieces.emplace_back(piece.data() - data.data(), piece.size());
  }
  return pieces;
}

using Piece = std::pair<int64_t, int64_t>;

TEST(Weights, AreViewsOfTheFile) {
  const std::unique_ptr<Model> model = Load(ModelFile("llama"));
  EXPECT_THAT(PiecesIn(*model, "blk.0.attn_q", "blk.0.attn_q.weight"),
              ElementsAre(Piece(0, 32 * 32 * 4)));
}

TEST(Weights, AreRowsOfFusedQkv) {
  ModelFile file("qwen2");
  for (const char* part : {"q", "k", "v"}) {
    file.RemoveTensor(absl::StrCat("blk.0.attn_", part, ".weight"));
  }
  file.Tensor("blk.0.attn_qkv.weight", {64, 32}, DType::kQ8_0).Tensor("blk.0.attn_qkv.bias", {64});
  const std::unique_ptr<Model> model = Load(file);
  constexpr int64_t kRow = 34;  // bytes of 32 elements in Q8_0
  const absl::string_view weight = "blk.0.attn_qkv.weight";
  EXPECT_THAT(PiecesIn(*model, "blk.0.attn_q", weight), ElementsAre(Piece(0, 32 * kRow)));
  EXPECT_THAT(PiecesIn(*model, "blk.0.attn_k", weight), ElementsAre(Piece(32 * kRow, 16 * kRow)));
  EXPECT_THAT(PiecesIn(*model, "blk.0.attn_v", weight), ElementsAre(Piece(48 * kRow, 16 * kRow)));
  EXPECT_THAT(PiecesIn(*model, "blk.0.attn_v.bias", "blk.0.attn_qkv.bias"),
              ElementsAre(Piece(48 * 4, 16 * 4)));
  const Graph graph = Build(*model);
  EXPECT_EQ(graph.Find("@blk.0.attn_k")->type().ToString(), "q8_0[16,32]");
  EXPECT_EQ(graph.Find("@blk.0.attn_k.bias")->type().ToString(), "f32[16]");
  EXPECT_THAT(model->warnings(), IsEmpty());
}

TEST(Weights, AreHalvesOfFusedExperts) {
  const std::unique_ptr<Model> model =
      Load(ModelFile::WithExperts("qwen3moe")
               .RemoveTensor("blk.0.ffn_gate_exps.weight")
               .RemoveTensor("blk.0.ffn_up_exps.weight")
               .Tensor("blk.0.ffn_gate_up_exps.weight", {4, 64, 32}, DType::kF16));
  constexpr int64_t kHalf = 32 * 32 * 2;
  EXPECT_THAT(PiecesIn(*model, "blk.0.ffn_gate_exps", "blk.0.ffn_gate_up_exps.weight"),
              ElementsAre(Piece(0, kHalf), Piece(2 * kHalf, kHalf), Piece(4 * kHalf, kHalf),
                          Piece(6 * kHalf, kHalf)));
  EXPECT_THAT(PiecesIn(*model, "blk.0.ffn_up_exps", "blk.0.ffn_gate_up_exps.weight"),
              ElementsAre(Piece(kHalf, kHalf), Piece(3 * kHalf, kHalf), Piece(5 * kHalf, kHalf),
                          Piece(7 * kHalf, kHalf)));
  EXPECT_EQ(Build(*model).Find("@blk.0.ffn_up_exps")->type().ToString(), "f16[4,32,32]");
  EXPECT_THAT(model->warnings(), IsEmpty());
}

ModelFile WithSeparateExperts() {
  ModelFile file = ModelFile::WithExperts("llama");
  for (const char* name : {"gate", "up", "down"}) {
    file.RemoveTensor(absl::StrCat("blk.0.ffn_", name, "_exps.weight"));
    for (int expert = 0; expert < 4; ++expert) {
      file.Tensor(absl::StrCat("blk.0.ffn_", name, ".", expert, ".weight"), {32, 32});
    }
  }
  return file;
}

TEST(Weights, AreOnePieceForEachSeparateExpert) {
  const std::unique_ptr<Model> model = Load(WithSeparateExperts());
  const WeightPieces& pieces = model->weights().at("blk.0.ffn_up_exps");
  ASSERT_EQ(pieces.size(), 4);
  for (size_t expert = 0; expert < 4; ++expert) {
    const std::string name = absl::StrCat("blk.0.ffn_up.", expert, ".weight");
    EXPECT_EQ(pieces[expert].data(), model->file().Data(TensorOf(*model, name)).data());
    EXPECT_EQ(pieces[expert].size(), 32 * 32 * 4);
  }
  const std::unique_ptr<Model> stacked = Load(ModelFile::WithExperts("llama"));
  EXPECT_EQ(Print(Build(*model)), Print(Build(*stacked)));
  EXPECT_THAT(model->warnings(), IsEmpty());
}

TEST(Weights, OutputIsTiedOnlyWhereItIsAbsent) {
  const std::unique_ptr<Model> tied = Load(ModelFile("llama"));
  EXPECT_FALSE(tied->weights().contains("output"));
  const Graph graph = Build(*tied);
  EXPECT_EQ(As<MatmulCall>(*graph.Find("%logits")->producer()).weight, graph.Find("@token_embd"));

  const std::unique_ptr<Model> untied = Load(ModelFile("llama").Tensor("output.weight", {6, 32}));
  EXPECT_TRUE(untied->weights().contains("output"));
  EXPECT_EQ(Error(ModelFile("llama").Tensor("output.weight", {5, 32})),
            "tensor 'output.weight': expected the shape [6,32], got [5,32]");
}

TEST(Weights, MayHaveLeadingOnesInTheirShape) {
  Load(ModelFile("llama").Tensor("output_norm.weight", {1, 1, 32}));  // expects no error
}

// ---- Files that are wrong.

TEST(Load, NamesMissingTensors) {
  for (const char* name :
       {"token_embd", "blk.0.attn_norm", "blk.0.attn_q", "blk.0.attn_output", "blk.0.ffn_norm",
        "blk.0.ffn_gate", "blk.0.ffn_up", "blk.0.ffn_down", "output_norm"}) {
    const std::string tensor = absl::StrCat(name, ".weight");
    EXPECT_THAT(Error(ModelFile("llama").RemoveTensor(tensor)),
                HasSubstr(absl::StrCat("tensor '", tensor, "': missing, expected one of shape [")));
  }
  EXPECT_EQ(Error(ModelFile("qwen3").RemoveTensor("blk.0.attn_q_norm.weight")),
            "tensor 'blk.0.attn_q_norm.weight': missing, expected one of shape [8]");
  EXPECT_EQ(Error(ModelFile("llama").Int(".block_count", 2)),
            "tensor 'blk.1.attn_norm.weight': missing, expected one of shape [32]");
}

TEST(Load, NamesMissingExpertTensors) {
  const auto experts = [] { return ModelFile::WithExperts("llama"); };
  EXPECT_EQ(Error(experts().RemoveTensor("blk.0.ffn_up_exps.weight")),
            "tensor 'blk.0.ffn_up_exps.weight': missing, expected one of shape [4,32,32]");
  EXPECT_EQ(Error(experts().RemoveTensor("blk.0.ffn_gate_inp.weight")),
            "tensor 'blk.0.ffn_gate_inp.weight': missing, expected one of shape [4,32]");
  EXPECT_EQ(Error(WithSeparateExperts().RemoveTensor("blk.0.ffn_down.3.weight")),
            "tensor 'blk.0.ffn_down.3.weight': missing, though tensors of other experts are there");
  EXPECT_EQ(Error(ModelFile::WithExperts("qwen3moe", 2, 1).Remove(".feed_forward_length")),
            "the layer of 'blk.0.ffn_gate' is dense, but the key feed_forward_length is missing");
}

TEST(Load, RejectsWrongShapes) {
  EXPECT_EQ(Error(ModelFile("llama").Tensor("blk.0.attn_k.weight", {32, 32})),
            "tensor 'blk.0.attn_k.weight': expected the shape [16,32], got [32,32]");
  EXPECT_EQ(Error(ModelFile("llama").Tensor("blk.0.ffn_norm.weight", {8, 4})),
            "tensor 'blk.0.ffn_norm.weight': expected the shape [32], got [8,4]");
  EXPECT_EQ(Error(ModelFile("llama").Texts("tokenizer.ggml.tokens", {"a", "b"})),
            "tensor 'token_embd.weight': expected the shape [2,32], got [6,32]");
  EXPECT_EQ(Error(ModelFile("qwen2").Tensor("blk.0.attn_q.bias", {16})),
            "tensor 'blk.0.attn_q.bias': expected the shape [32], got [16]");
  EXPECT_EQ(Error(ModelFile("llama").Tensor("rope_freqs.weight", {8})),
            "tensor 'rope_freqs.weight': expected the shape [4], got [8]");
  EXPECT_EQ(Error(ModelFile::WithExperts("llama").Tensor("blk.0.ffn_up_exps.weight", {3, 32, 32})),
            "tensor 'blk.0.ffn_up_exps.weight': expected the shape [4,32,32], got [3,32,32]");
  EXPECT_EQ(Error(WithSeparateExperts().Tensor("blk.0.ffn_up.2.weight", {32, 64})),
            "tensor 'blk.0.ffn_up.2.weight': expected the shape [32,32], got [32,64]");
  EXPECT_EQ(Error(ModelFile("llama")
                      .RemoveTensor("blk.0.attn_k.weight")
                      .Tensor("blk.0.attn_qkv.weight", {48, 32})),
            "tensor 'blk.0.attn_qkv.weight': expected the shape [64,32], got [48,32]");
}

TEST(Load, RejectsWrongTypes) {
  EXPECT_EQ(Error(ModelFile("llama").Tensor("output_norm.weight", {32}, DType::kF16)),
            "tensor 'output_norm.weight': expected f32, got f16");
  EXPECT_EQ(Error(WithSeparateExperts().Tensor("blk.0.ffn_up.2.weight", {32, 32}, DType::kF16)),
            "tensor 'blk.0.ffn_up.2.weight': expected f32 as of expert 0, got f16");
  EXPECT_EQ(Error(ModelFile("llama").Tensor("blk.0.attn_q.weight", {32, 32}, DType::kI32)),
            "tensor 'blk.0.attn_q.weight': the format i32 is not supported");
}

TEST(Load, RefusesFactorsThatItDoesNotApply) {
  EXPECT_THAT(Error(ModelFile("llama").Tensor("blk.0.attn_q.scale", {1})),
              HasSubstr("tensor 'blk.0.attn_q.scale': a factor beside 'blk.0.attn_q.weight'"));
}

TEST(Load, RefusesUnusedTensorsThatChangeTheMaths) {
  const auto refused = [](absl::string_view architecture, absl::string_view tensor) {
    return absl::StrCat("tensor '", tensor, "': graphs of '", architecture,
                        "' do not use it, so that all values would be wrong: expected a file "
                        "without it, or of another architecture");
  };
  for (const char* name :
       {"blk.0.attn_norm.bias", "blk.0.ffn_norm.bias", "output_norm.bias", "token_embd.bias",
        "blk.0.attn_q_norm.weight", "blk.0.attn_sinks.weight", "blk.0.ffn_down.act_scale",
        "token_embd_norm.weight", "position_embd.weight", "rope_freqs.weight"}) {
    EXPECT_EQ(Error(ModelFile("qwen2").Tensor(name, {8})), refused("qwen2", name));
  }
  EXPECT_EQ(Error(ModelFile("llama").Tensor("blk.0.\x07odd", {8})),
            refused("llama", "blk.0.\\x07odd"));
  // A dense model ignores the router: of the two networks it can only mean one.
  EXPECT_EQ(Error(ModelFile("llama").Tensor("blk.0.ffn_gate_inp.weight", {4, 32})),
            refused("llama", "blk.0.ffn_gate_inp.weight"));
}

TEST(Load, WarnsOfOtherUnusedTensors) {
  const std::string path = ModelFile::Path();
  const auto warns = [&](const char* name) {
    return ElementsAre(absl::StrCat(path, ": 1 tensor is not used: '", name, "'"));
  };
  for (const char* name :
       {"cls.weight", "v.patch_embd.weight", "blk.1.nextn.eh_proj.weight", "blk.0.attn_rot_embd"}) {
    EXPECT_THAT(Load(ModelFile("qwen2").Tensor(name, {4}))->warnings(), warns(name));
  }
  ModelFile many("llama");
  for (int i = 0; i < 10; ++i) many.Tensor(absl::StrCat("t", i), {1});
  EXPECT_THAT(Load(many)->warnings(),
              ElementsAre(path + ": 10 tensors are not used: 't0', 't1', 't2', 't3', 't4', 't5', "
                                 "'t6', 't7' and 2 more"));
}

TEST(Load, NamesTensorsThatOnlyLookFused) {
  // The empty stem of an unfused weight must not match these.
  EXPECT_THAT(Load(ModelFile("llama").Tensor(".weight", {8}).Tensor(".bias", {8}))->warnings(),
              ElementsAre(HasSubstr("2 tensors are not used: '.weight', '.bias'")));
}

// ---- Whole files.

// Every weight of the graph has its data, and as much of it as its type says.
void ExpectAllWeightsBound(const Model& model, const Graph& graph) {
  for (const auto& weight : graph.weights()) {
    const auto it = model.weights().find(weight->name());
    ASSERT_NE(it, model.weights().end()) << weight->ref();
    int64_t bytes = 0;
    for (const auto& piece : it->second) bytes += static_cast<int64_t>(piece.size());
    EXPECT_EQ(bytes, *graph.Bounds().EvaluateBytes(weight->type())) << weight->ref();
  }
  EXPECT_EQ(model.weights().size(), graph.weights().size());
}

void ExpectLoadsCleanly(Model& model) {
  EXPECT_THAT(model.warnings(), IsEmpty());
  ExpectAllWeightsBound(model, Build(model));
}

TEST(EmbeddedModel, Builds) {
  absl::StatusOr<std::unique_ptr<Model>> model = Model::LoadEmbedded();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->config().architecture, "qwen3moe");
  ExpectLoadsCleanly(**model);
}

nlohmann::json ReadManifest(const std::string& folder) {
  std::ifstream in(folder + "/manifest.json");
  return nlohmann::json::parse(in);
}

TEST(ConformanceModels, BuildAndBindEveryWeight) {
  const std::string folder = ConformanceDir();
  if (folder.empty()) GTEST_SKIP() << "no conformance pack";
  std::vector<std::string> paths = {folder + "/stories260k/stories260k.gguf"};
  const nlohmann::json manifest = ReadManifest(folder + "/models");
  for (const nlohmann::json& entry : manifest.at("models")) {
    paths.push_back(folder + "/models/" + entry.at("file").get<std::string>());
  }
  EXPECT_GT(paths.size(), 1);
  for (const std::string& path : paths) {
    SCOPED_TRACE(path);
    absl::StatusOr<std::unique_ptr<Model>> model = Model::Load(path);
    EXPECT_TRUE(model.ok()) << model.status();
    if (model.ok()) ExpectLoadsCleanly(**model);
  }
}

std::string Bytes(const WeightPieces& pieces) {
  std::string bytes;
  for (const auto& piece : pieces) {
    bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  return bytes;
}

TEST(ConformanceModels, SeparateExpertsHoldTheStackedBytes) {
  const std::string folder = ConformanceDir();
  if (folder.empty()) GTEST_SKIP() << "no conformance pack";
  auto stacked = Model::Load(folder + "/models/llama-moe.F32.gguf");
  auto separate = Model::Load(folder + "/models/llama-moe-split.F32.gguf");
  ASSERT_TRUE(stacked.ok() && separate.ok());
  for (const auto& [name, pieces] : (*stacked)->weights()) {
    EXPECT_EQ(Bytes(pieces), Bytes((*separate)->weights().at(name))) << name;
  }
}

// A file that must be refused is, with the message that the manifest asks for; one that must be
// accepted makes a graph; the others do either.
void CheckHostileFile(const std::string& folder, const nlohmann::json& entry) {
  const std::string name = entry.at("file");
  SCOPED_TRACE(name);
  const absl::StatusOr<std::unique_ptr<Model>> model = Model::Load(folder + "/" + name);
  if (entry.at("expect") != "either") {
    EXPECT_EQ(model.ok(), entry.at("expect") == "accept") << model.status();
  }
  if (model.ok()) {
    EXPECT_TRUE((*model)->BuildGraph({}).ok());
    return;
  }
  const std::string message(model.status().message());
  EXPECT_THAT(message, HasSubstr(name));
  const std::regex expected(entry.at("message_matches").get<std::string>(),
                            std::regex::icase | std::regex::ECMAScript);
  // The path must not be what matches.
  const size_t after_path = message.find(name) + name.size();
  EXPECT_TRUE(std::regex_search(message.substr(after_path), expected)) << message;
}

void CheckHostileFolder(const std::string& folder) {
  const nlohmann::json manifest = ReadManifest(folder);
  EXPECT_FALSE(manifest.at("cases").empty());
  for (const nlohmann::json& entry : manifest.at("cases")) CheckHostileFile(folder, entry);
}

TEST(HostileFiles, GetTheExpectedMessages) {
  int folders = 0;
  for (const std::string& parent : {TestDataDir(), ConformanceDir()}) {
    const std::string folder = parent + "/hostile";
    if (!std::filesystem::exists(folder + "/manifest.json")) continue;
    CheckHostileFolder(folder);
    ++folders;
  }
  if (folders == 0) GTEST_SKIP() << "no hostile files";
}

}  // namespace
}  // namespace sluice
