#include "tests/support/model_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr int64_t kHidden = 32;
constexpr int64_t kKv = 16;
constexpr int64_t kFeedForward = 64;
constexpr int64_t kExperts = 4;
constexpr int64_t kExpertFeedForward = 32;

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

std::string ModelFile::Path() {
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  return absl::StrCat(testing::TempDir(), "sluice.", test->name(), ".", getpid(), ".gguf");
}

std::unique_ptr<GgufFile> ModelFile::Open() const {
  GgufWriter writer;
  for (const auto& [key, set] : keys_) set(writer);
  for (const TensorRecord& t : tensors_) writer.AddTensor(t.name, t.dtype, t.shape);
  const std::string path = Path();
  EXPECT_TRUE(writer.Write(path).ok());
  absl::StatusOr<std::unique_ptr<GgufFile>> file = GgufFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  std::filesystem::remove(path);
  return file.ok() ? *std::move(file) : nullptr;
}

}  // namespace sluice
