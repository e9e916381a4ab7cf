// The blocks that layers of decoders and encoders are made of. An architecture's file puts them
// together and reads as its maths; shapes, tensor names and optional tensors are settled here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graph/builder.h"
#include "models/architectures/config.h"
#include "models/architectures/decoder_options.h"
#include "models/weights/weight_directory.h"

namespace sluice {

// Checks the options and puts the defaults in.
absl::StatusOr<DecoderOptions> ResolveOptions(DecoderOptions options, const ModelConfig& config);

// What is added to the product with `weight`, whose shape is {out, in}.
WeightSpec BiasOf(WeightSpec weight);

// All i32; see graph/decoder_interface.h.
struct DecoderInputs {
  Value* token_ids;
  Value* positions;
  Value* seq_ids;
  Value* slots;
  Value* block_tables;
  Value* context_lens;
  Value* output_rows;
};

// The graph under construction and where its weights come from. Remembers the first error; after
// one, values are nullptr, which may be passed on.
class DecoderBuilder {
 public:
  // `options` without zeros that stand for defaults.
  DecoderBuilder(const ModelConfig& config, const DecoderOptions& options,
                 WeightDirectory& weights);

  const ModelConfig& config() const { return config_; }
  const DecoderOptions& options() const { return options_; }
  GraphBuilder& graph() { return graph_; }

  const DecoderInputs& inputs() const { return inputs_; }
  bool Has(const WeightSpec& spec) const { return weights_.Contains(spec); }
  // The weight, added to the graph on first use.
  Value* Weight(const WeightSpec& spec);
  // nullptr if the file does not have it.
  Value* OptionalWeight(const WeightSpec& spec) { return Has(spec) ? Weight(spec) : nullptr; }

  Value* RmsNorm(absl::string_view name, Value* x, const WeightSpec& weight);
  // Of an encoder, with a bias.
  Value* LayerNorm(absl::string_view name, Value* x, const WeightSpec& weight);
  // x W^T + bias, the bias where the file has one. `weight.shape` is {out, in}.
  Value* Linear(absl::string_view name, Value* x, const WeightSpec& weight);

  // The cache that a layer begins with: a new one, or, in an encoder, where nothing in it is needed
  // any more, the one of the same type that an earlier layer is done with.
  Value* TakeCache(absl::string_view name, TensorType type);
  void DoneWith(Value* cache);

  void Fail(absl::Status status);
  absl::StatusOr<Graph> Build() &&;

 private:
  void AddSymbols();
  void AddInputs();

  const ModelConfig& config_;
  const DecoderOptions& options_;
  WeightDirectory& weights_;
  GraphBuilder graph_;
  absl::Status status_;
  DecoderInputs inputs_;
  absl::flat_hash_map<std::string, Value*> bound_;  // weights in the graph, by name
  std::vector<Value*> free_caches_;                 // of an encoder
};

// How the elements that are rotated together lie in a head: side by side (2i, 2i+1), or half the
// rotated dimensions apart (i, i + dims/2).
enum class RopeStyle { kInterleaved, kNeox };

// Queries, keys and values by head: f32[tokens,heads,length].
struct AttentionHeads {
  Value* q;
  Value* k;
  Value* v;
};

// One layer. Values are called "l<index>.<name>", weights "blk.<index>.<name>".
class DecoderLayer {
 public:
  DecoderLayer(DecoderBuilder& builder, int64_t index);

  // x: f32[tokens,hidden].
  Value* Norm(absl::string_view name, Value* x, absl::string_view weight);
  AttentionHeads ProjectHeads(Value* x);
  // Norm as encoders have it: a layer norm, with a bias.
  Value* LayerNorm(absl::string_view name, Value* x, absl::string_view weight);
  // RMSNorm over each head.
  Value* HeadNorm(absl::string_view name, Value* heads, absl::string_view weight);
  Value* Rope(absl::string_view name, Value* heads, RopeStyle style);
  // The same, with every frequency divided by an element of rope_freqs.weight where the file has
  // that tensor (Llama 3's way to longer contexts).
  Value* RopeWithDivisors(absl::string_view name, Value* heads, RopeStyle style);
  // Stores keys and values in the cache, attends to all that is there, and projects the result
  // back: f32[tokens,hidden].
  Value* Attend(const AttentionHeads& heads);
  // down(silu(gate x) * (up x)): by one network, or by the sum of those of a few experts, weighted
  // by the router, in layers that have one. f32[tokens,hidden].
  Value* FeedForward(Value* x);
  // down(gelu(up x)), without a gate.
  Value* GeluFeedForward(Value* x);
  Value* Add(absl::string_view name, Value* a, Value* b);

 private:
  std::string ValueName(absl::string_view name) const;
  WeightSpec Vector(absl::string_view name, int64_t length) const;
  WeightSpec Matrix(absl::string_view name, int64_t out, int64_t in, FusedRows fused = {}) const;
  WeightSpec ExpertMatrix(absl::string_view name, int64_t out, int64_t in,
                          FusedRows fused = {}) const;
  Value* Op(absl::string_view name, absl::string_view op, std::vector<Value*> operands,
            Attributes attrs = {});
  std::vector<Value*> Ops(std::vector<absl::string_view> names, absl::string_view op,
                          std::vector<Value*> operands, Attributes attrs = {});
  Value* Linear(absl::string_view name, Value* x, const WeightSpec& weight);
  // Rows grouped by expert, each times its expert's own matrix.
  Value* ExpertLinear(absl::string_view name, Value* rows, const WeightSpec& weight,
                      Value* offsets);
  Value* Reshape(absl::string_view name, Value* x, Shape shape);
  Value* Rotate(absl::string_view name, Value* heads, RopeStyle style, Value* divisors);
  Value* Cache(absl::string_view name, DType decoder_dtype, int64_t length);
  Value* DenseFeedForward(Value* x, const WeightSpec& gate);
  Value* ExpertFeedForward(Value* x, const WeightSpec& router);

  DecoderBuilder& b_;
  const ModelConfig& config_;
  const LayerConfig& layer_;
  std::string value_prefix_;
  std::string weight_prefix_;
};

}  // namespace sluice
