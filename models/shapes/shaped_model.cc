#include "models/shapes/shaped_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numbers>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/formats/quantize.h"
#include "graph/memory_for.h"
#include "graph/status_macros.h"
#include "models/files/gguf_writer.h"
#include "models/shapes/synthetic_vocabulary.h"

namespace sluice {
namespace {

constexpr absl::string_view kTokenTable = "token_embd.weight";
constexpr absl::string_view kRopeFactors = "rope_freqs.weight";

// Collects the tensors of one file.
class TensorList {
 public:
  TensorList(const ModelShape& shape, const QuantisationMix& mix, int64_t layers)
      : shape_(shape),
        mix_(mix),
        model_{.architecture = shape.architecture,
               .layers = layers,
               .heads = shape.heads,
               .kv_heads = shape.kv_heads,
               .experts = shape.experts,
               .tied_output = shape.tied_output} {}

  std::vector<ShapedTensor> Make() {
    Add(kTokenTable, {shape_.vocabulary, shape_.hidden});
    if (shape_.rope_factors) Add(kRopeFactors, {shape_.head_length / 2});
    for (int64_t layer = 0; layer < model_.layers; ++layer) {
      prefix_ = absl::StrCat("blk.", layer, ".");
      AddAttention();
      shape_.experts > 0 ? AddExperts() : AddFeedForward();
    }
    prefix_.clear();
    Add("output_norm.weight", {shape_.hidden});
    if (!shape_.tied_output) {
      Add("output.weight", {shape_.vocabulary, shape_.hidden});
    }
    return std::move(tensors_);
  }

 private:
  void Add(absl::string_view suffix, std::vector<int64_t> dims) {
    const std::string name = absl::StrCat(prefix_, suffix);
    const DType dtype =
        IsQuantisable(name, dims) ? DTypeInMix(mix_, model_, name, dims) : DType::kF32;
    tensors_.push_back({name, dtype, std::move(dims)});
  }

  void AddAttention() {
    const int64_t q = shape_.heads * shape_.head_length;
    const int64_t kv = shape_.kv_heads * shape_.head_length;
    Add("attn_norm.weight", {shape_.hidden});
    Add("attn_q.weight", {q, shape_.hidden});
    Add("attn_k.weight", {kv, shape_.hidden});
    Add("attn_v.weight", {kv, shape_.hidden});
    Add("attn_output.weight", {shape_.hidden, q});
    if (shape_.head_norms) {
      Add("attn_q_norm.weight", {shape_.head_length});
      Add("attn_k_norm.weight", {shape_.head_length});
    }
    Add("ffn_norm.weight", {shape_.hidden});
  }

  void AddFeedForward() {
    Add("ffn_gate.weight", {shape_.feed_forward, shape_.hidden});
    Add("ffn_up.weight", {shape_.feed_forward, shape_.hidden});
    Add("ffn_down.weight", {shape_.hidden, shape_.feed_forward});
  }

  void AddExperts() {
    const int64_t count = shape_.experts;
    const int64_t ff = shape_.expert_feed_forward;
    Add("ffn_gate_inp.weight", {count, shape_.hidden});
    Add("ffn_gate_exps.weight", {count, ff, shape_.hidden});
    Add("ffn_up_exps.weight", {count, ff, shape_.hidden});
    Add("ffn_down_exps.weight", {count, shape_.hidden, ff});
  }

  const ModelShape& shape_;
  const QuantisationMix& mix_;
  MixModel model_;
  std::string prefix_;
  std::vector<ShapedTensor> tensors_;
};

int64_t LayersOf(const ModelShape& shape, int64_t layers) {
  return layers > 0 ? layers : shape.layers;
}

void SetConfig(const ModelShape& shape, const ShapedModelOptions& options, GgufWriter* writer) {
  const auto key = [&](absl::string_view name) {
    return absl::StrCat(shape.architecture, ".", name);
  };
  const auto set = [&](absl::string_view name, int64_t value) {
    writer->SetU32(key(name), static_cast<uint32_t>(value));
  };
  writer->SetString("general.architecture", shape.architecture);
  writer->SetString("general.name",
                    absl::StrCat(shape.title, options.metadata_only ? " (no data)" : " (random)"));
  writer->SetU32("general.file_type", options.mix->file_type);
  writer->SetU32("general.quantization_version", kQuantizationVersion);
  set("block_count", LayersOf(shape, options.layers));
  set("context_length", shape.context);
  set("embedding_length", shape.hidden);
  set("feed_forward_length", shape.feed_forward);
  set("attention.head_count", shape.heads);
  set("attention.head_count_kv", shape.kv_heads);
  set("attention.key_length", shape.head_length);
  set("attention.value_length", shape.head_length);
  set("rope.dimension_count", shape.head_length);
  set("vocab_size", shape.vocabulary);
  writer->SetF32(key("attention.layer_norm_rms_epsilon"), static_cast<float>(shape.rms_eps));
  writer->SetF32(key("rope.freq_base"), static_cast<float>(shape.rope_base));
  if (shape.experts == 0) return;
  set("expert_count", shape.experts);
  set("expert_used_count", shape.experts_used);
  set("expert_feed_forward_length", shape.expert_feed_forward);
}

void FillWith(float value, absl::Span<std::byte> data) {
  for (size_t at = 0; at < data.size(); at += sizeof value) {
    std::memcpy(data.data() + at, &value, sizeof value);
  }
}

// What each rotation frequency is divided by: waves that are short against the context which the
// model was first trained for stay, long ones are stretched, those between blend. Llama 3.1's rule
// and numbers: rope_scaling in the model's config.json.
void FillRopeFactors(const ModelShape& shape, absl::Span<std::byte> data) {
  constexpr double kFactor = 32, kLowFactor = 1, kHighFactor = 4, kOriginalContext = 8192;
  const auto dims = static_cast<double>(shape.head_length);
  for (size_t i = 0; i < data.size() / sizeof(float); ++i) {
    const double frequency = std::pow(shape.rope_base, -2 * static_cast<double>(i) / dims);
    const double waves = kOriginalContext * frequency / (2 * std::numbers::pi);
    const double blend = std::clamp((waves - kLowFactor) / (kHighFactor - kLowFactor), 0.0, 1.0);
    const auto divisor = static_cast<float>(1 / (blend + (1 - blend) / kFactor));
    std::memcpy(data.data() + i * sizeof divisor, &divisor, sizeof divisor);
  }
}

// Products with a matrix keep the size of what goes in. A table of embeddings is no product: with
// small rows, the first attention, which is much the same for all tokens, would drown them, and
// all tokens would take the same experts. As the output it is a product, too.
double DeviationOf(const ModelShape& shape, const ShapedTensor& tensor) {
  if (tensor.name == kTokenTable && !shape.tied_output) return 1;
  return 1 / std::sqrt(static_cast<double>(tensor.shape.back()));
}

absl::Status FillMatrix(const ShapedTensor& tensor, double deviation, uint64_t seed,
                        const std::function<void(int64_t)>& on_written,
                        absl::Span<std::byte> data) {
  const auto block = static_cast<size_t>(Info(tensor.dtype).bytes_per_block);
  const size_t piece = (size_t{16} << 20) / block * block;
  for (size_t at = 0; at < data.size(); at += piece) {
    const absl::Span<std::byte> part = data.subspan(at, piece);
    SLUICE_RETURN_IF_ERROR(
        FillRandomBlocks(tensor.dtype, seed + at, static_cast<float>(deviation), part));
    if (on_written) on_written(static_cast<int64_t>(part.size()));
  }
  return absl::OkStatus();
}

GgufWriter::FillFn FillOf(const ModelShape& shape, const ShapedModelOptions& options,
                          const ShapedTensor& tensor, size_t index) {
  if (options.metadata_only) return nullptr;
  return [&shape, &options, &tensor, index](absl::Span<std::byte> data) -> absl::Status {
    if (tensor.shape.size() > 1) {
      // Pieces of a tensor add their place to the seed; tensors are far enough apart.
      const uint64_t seed = options.seed * 0x9E3779B97F4A7C15 + (uint64_t{index} << 40);
      return FillMatrix(tensor, DeviationOf(shape, tensor), seed, options.on_written, data);
    }
    tensor.name == kRopeFactors ? FillRopeFactors(shape, data) : FillWith(1, data);
    if (options.on_written) options.on_written(tensor.bytes());
    return absl::OkStatus();
  };
}

absl::Status WriteModel(const ModelShape& shape, const ShapedModelOptions& options,
                        const std::string& path) {
  const std::vector<ShapedTensor> tensors = ShapedTensors(shape, *options.mix, options.layers);
  GgufWriter writer;
  SetConfig(shape, options, &writer);
  SetSyntheticVocabulary(*shape.tokens, shape.vocabulary, &writer);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const ShapedTensor& tensor = tensors[i];
    writer.AddTensor(tensor.name, tensor.dtype, tensor.shape, FillOf(shape, options, tensor, i));
  }
  return writer.Write(path);
}

}  // namespace

int64_t ShapedTensor::elements() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

int64_t ShapedTensor::bytes() const { return ByteSize(dtype, elements()).value_or(0); }

std::vector<ShapedTensor> ShapedTensors(const ModelShape& shape, const QuantisationMix& mix,
                                        int64_t layers) {
  return TensorList(shape, mix, LayersOf(shape, layers)).Make();
}

absl::Status WriteShapedModel(const ModelShape& shape, const ShapedModelOptions& options,
                              const std::string& path) {
  return WithMemoryFor(path, [&] { return WriteModel(shape, options, path); });
}

}  // namespace sluice
