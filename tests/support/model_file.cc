#include "tests/support/model_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <numeric>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "graph/formats/quantize.h"

namespace sluice {
namespace {

constexpr int64_t kHidden = 32;
constexpr int64_t kKv = 16;
constexpr int64_t kFeedForward = 64;
constexpr int64_t kExperts = 4;
constexpr int64_t kExpertFeedForward = 32;
constexpr int64_t kBertContext = 40;

// Gains are around 1; what a product with a matrix gives is about as large as its row.
absl::Status FillAtRandom(const std::string& name, absl::Span<const int64_t> shape, DType dtype,
                          absl::Span<std::byte> data) {
  std::mt19937 random(static_cast<uint32_t>(
      std::accumulate(name.begin(), name.end(), 17u,
                      [](uint32_t hash, char c) { return hash * 31u + static_cast<uint8_t>(c); })));
  const bool is_gain = shape.size() == 1 && absl::EndsWith(name, ".weight");
  const auto columns = static_cast<double>(shape.back());
  const double spread = shape.size() > 1 ? 3 / std::sqrt(columns) : 0.5;
  std::vector<float> values(data.size() / static_cast<size_t>(Info(dtype).bytes_per_block) *
                            static_cast<size_t>(Info(dtype).elements_per_block));
  for (float& value : values) {
    // Not a distribution of the standard library, which may differ between versions.
    const double unit = static_cast<double>(random() >> 8) * 0x1p-23 - 1;
    value = static_cast<float>((is_gain ? 1 : 0) + spread * unit);
  }
  QuantizerFor(dtype)(values.data(), static_cast<int64_t>(values.size()), data.data());
  return absl::OkStatus();
}

}  // namespace

ModelFile::ModelFile(std::string architecture, int64_t layers)
    : architecture_(std::move(architecture)) {
  Text("general.architecture", architecture_);
  Int(".block_count", static_cast<uint32_t>(layers));
  Int(".context_length", 128);
  Int(".embedding_length", kHidden);
  Int(".feed_forward_length", kFeedForward);
  Int(".attention.head_count", 4);
  Int(".attention.head_count_kv", 2);
  Float(".attention.layer_norm_rms_epsilon", 1e-5f);
  Texts("tokenizer.ggml.tokens", {"a", "b", "c", "d", "e", "f"});

  Tensor("token_embd.weight", {6, kHidden});
  for (int64_t layer = 0; layer < layers; ++layer) {
    const std::string prefix = absl::StrCat("blk.", layer, ".");
    Tensor(prefix + "attn_norm.weight", {kHidden});
    Tensor(prefix + "attn_q.weight", {kHidden, kHidden});
    Tensor(prefix + "attn_k.weight", {kKv, kHidden});
    Tensor(prefix + "attn_v.weight", {kKv, kHidden});
    if (absl::StartsWith(architecture_, "qwen3")) {
      Tensor(prefix + "attn_q_norm.weight", {8});
      Tensor(prefix + "attn_k_norm.weight", {8});
    }
    Tensor(prefix + "attn_output.weight", {kHidden, kHidden});
    Tensor(prefix + "ffn_norm.weight", {kHidden});
    Tensor(prefix + "ffn_gate.weight", {kFeedForward, kHidden});
    Tensor(prefix + "ffn_up.weight", {kFeedForward, kHidden});
    Tensor(prefix + "ffn_down.weight", {kHidden, kFeedForward});
  }
  Tensor("output_norm.weight", {kHidden});
}

ModelFile ModelFile::WithExperts(std::string architecture, int64_t layers, int64_t first_routed) {
  ModelFile file(std::move(architecture), layers);
  file.Int(".expert_count", kExperts).Int(".expert_used_count", 2);
  file.Int(".expert_feed_forward_length", kExpertFeedForward);
  for (int64_t layer = first_routed; layer < layers; ++layer) {
    const std::string prefix = absl::StrCat("blk.", layer, ".");
    for (const char* name : {"ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"}) {
      file.RemoveTensor(prefix + name);
    }
    file.Tensor(prefix + "ffn_gate_inp.weight", {kExperts, kHidden});
    file.Tensor(prefix + "ffn_gate_exps.weight", {kExperts, kExpertFeedForward, kHidden});
    file.Tensor(prefix + "ffn_up_exps.weight", {kExperts, kExpertFeedForward, kHidden});
    file.Tensor(prefix + "ffn_down_exps.weight", {kExperts, kHidden, kExpertFeedForward});
  }
  return file;
}

ModelFile ModelFile::Bert(int64_t layers) {
  ModelFile file;
  file.architecture_ = "bert";
  file.Text("general.architecture", "bert");
  file.Int(".block_count", static_cast<uint32_t>(layers)).Int(".context_length", kBertContext);
  file.Int(".embedding_length", kHidden).Int(".feed_forward_length", kFeedForward);
  file.Int(".attention.head_count", 4).Float(".attention.layer_norm_epsilon", 1e-12f);
  file.Bool(".attention.causal", false).Int(".pooling_type", 1);
  file.Text("tokenizer.ggml.model", "bert").Int("tokenizer.ggml.token_type_count", 2);
  file.Texts("tokenizer.ggml.tokens",
             {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁hello", "▁world", "▁,", "▁a", "▁b", "s"});
  file.Ints("tokenizer.ggml.token_type", {3, 3, 3, 3, 1, 1, 1, 1, 1, 1});
  file.Int("tokenizer.ggml.bos_token_id", 2).Int("tokenizer.ggml.unknown_token_id", 1);
  file.Int("tokenizer.ggml.seperator_token_id", 3);

  const auto linear = [&file](const std::string& name, int64_t out, int64_t in) {
    file.Tensor(name + ".weight", {out, in}).Tensor(name + ".bias", {out});
  };
  const auto norm = [&file](const std::string& name) {
    file.Tensor(name + ".weight", {kHidden}).Tensor(name + ".bias", {kHidden});
  };
  file.Tensor("token_embd.weight", {10, kHidden}).Tensor("token_types.weight", {2, kHidden});
  file.Tensor("position_embd.weight", {kBertContext, kHidden});
  norm("token_embd_norm");
  for (int64_t layer = 0; layer < layers; ++layer) {
    const std::string prefix = absl::StrCat("blk.", layer, ".");
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
      linear(prefix + name, kHidden, kHidden);
    }
    norm(prefix + "attn_output_norm");
    linear(prefix + "ffn_up", kFeedForward, kHidden);
    linear(prefix + "ffn_down", kHidden, kFeedForward);
    norm(prefix + "layer_output_norm");
  }
  return file;
}

std::string ModelFile::Full(absl::string_view key) const {
  return absl::StrCat(absl::StartsWith(key, ".") ? architecture_ : "", key);
}

ModelFile& ModelFile::Set(absl::string_view key,
                          std::function<void(GgufWriter&, const std::string&)> set) {
  Remove(key);
  const std::string full = Full(key);
  keys_.emplace_back(full, [full, set](GgufWriter& writer) { set(writer, full); });
  return *this;
}

ModelFile& ModelFile::Int(absl::string_view key, uint32_t value) {
  return Set(key, [value](auto& writer, auto& full) { writer.SetU32(full, value); });
}
ModelFile& ModelFile::Ints(absl::string_view key, std::vector<int32_t> values) {
  return Set(key, [values](auto& writer, auto& full) { writer.SetI32s(full, values); });
}
ModelFile& ModelFile::Float(absl::string_view key, float value) {
  return Set(key, [value](auto& writer, auto& full) { writer.SetF32(full, value); });
}
ModelFile& ModelFile::Floats(absl::string_view key, std::vector<float> values) {
  return Set(key, [values](auto& writer, auto& full) { writer.SetF32s(full, values); });
}
ModelFile& ModelFile::Bool(absl::string_view key, bool value) {
  return Set(key, [value](auto& writer, auto& full) { writer.SetBool(full, value); });
}
ModelFile& ModelFile::Text(absl::string_view key, std::string value) {
  return Set(key, [value](auto& writer, auto& full) { writer.SetString(full, value); });
}
ModelFile& ModelFile::Texts(absl::string_view key, std::vector<std::string> values) {
  return Set(key, [values](auto& writer, auto& full) { writer.SetStrings(full, values); });
}

ModelFile& ModelFile::Remove(absl::string_view key) {
  std::erase_if(keys_, [full = Full(key)](const auto& entry) { return entry.first == full; });
  return *this;
}

ModelFile& ModelFile::Tensor(std::string name, std::vector<int64_t> shape, DType dtype) {
  RemoveTensor(name);
  tensors_.push_back({std::move(name), std::move(shape), dtype});
  return *this;
}

ModelFile& ModelFile::RemoveTensor(absl::string_view name) {
  std::erase_if(tensors_, [name](const TensorRecord& tensor) { return tensor.name == name; });
  return *this;
}

ModelFile& ModelFile::RandomWeights() {
  random_ = true;
  return *this;
}

std::string ModelFile::Path() {
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  // Names of parameterised tests have slashes.
  const std::string name = absl::StrReplaceAll(test->name(), {{"/", "."}});
  return absl::StrCat(testing::TempDir(), "sluice.", name, ".", getpid(), ".gguf");
}

void ModelFile::Write(const std::string& path) const {
  GgufWriter writer;
  for (const auto& [key, set] : keys_) set(writer);
  for (const TensorRecord& t : tensors_) {
    GgufWriter::FillFn fill;
    if (random_) {
      fill = [&t](absl::Span<std::byte> data) {
        return FillAtRandom(t.name, t.shape, t.dtype, data);
      };
    }
    writer.AddTensor(t.name, t.dtype, t.shape, std::move(fill));
  }
  const absl::Status status = writer.Write(path);
  EXPECT_TRUE(status.ok()) << status;
}

std::unique_ptr<GgufFile> ModelFile::Open() const {
  const std::string path = Path();
  Write(path);
  absl::StatusOr<std::unique_ptr<GgufFile>> file = GgufFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  std::filesystem::remove(path);
  return file.ok() ? *std::move(file) : nullptr;
}

}  // namespace sluice
