// Finds the data of a graph's weights among a model's tensors, whichever way they are stored.
//
// A weight is named after its tensor, without ".weight": "blk.0.attn_q", "blk.0.attn_q.bias".
// Where there is no such tensor, it may be
//   - some rows of a fused tensor (attn_q, attn_k and attn_v of attn_qkv; ffn_gate_exps and
//     ffn_up_exps of ffn_gate_up_exps, there in every expert), or
//   - for experts, one tensor each, as older files have it ("blk.0.ffn_gate.3.weight" for expert
//     3 of "blk.0.ffn_gate_exps").
// Either way the data stays where it is: only views of it are made, and none of it is read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/type.h"
#include "graph/weights.h"
#include "models/files/model_files.h"

namespace sluice {

// Rows first, first + 1, ... of the `total` rows of a fused tensor.
struct FusedRows {
  std::string tensor;  // without ".weight" or ".bias"; empty: the weight is never fused
  int64_t first = 0;
  int64_t total = 0;
};

struct WeightSpec {
  std::string name;            // "blk.0.ffn_gate_exps", "blk.0.attn_q.bias"
  std::vector<int64_t> shape;  // of one expert if there are several; outermost first
  int64_t experts = 0;         // 0: no dimension for experts
  FusedRows fused = {};
};

class WeightDirectory {
 public:
  // The files must outlive the directory and its table.
  explicit WeightDirectory(const ModelFiles& files);

  // True if the weight is stored, rightly or wrongly.
  bool Contains(const WeightSpec& spec) const;

  // Checks the weight's tensors, adds its pieces to the table and returns its type. Errors name
  // the tensor: missing, a shape other than the spec's, experts of different dtypes, a vector
  // (norm, bias) that is not f32; Unimplemented for a format without a decoder and for a weight
  // with a factor in a tensor of its own. Callers add the file.
  absl::StatusOr<TensorType> Bind(const WeightSpec& spec);

  const WeightTable& table() const { return table_; }
  // Tensors that no bound weight lies in, in file order.
  std::vector<absl::string_view> UnusedTensors() const;

 private:
  struct Entry {
    const StoredTensor* tensor;
    const WeightSource* file;
    bool used = false;
    absl::Span<const std::byte> data() const { return file->Data(*tensor); }
  };
  Entry* Find(absl::string_view tensor);
  absl::StatusOr<DType> BindWhole(Entry& entry, const WeightSpec& spec, WeightPieces* pieces);
  absl::StatusOr<DType> BindRows(Entry& entry, const WeightSpec& spec, WeightPieces* pieces);
  absl::StatusOr<DType> BindExperts(const WeightSpec& spec, WeightPieces* pieces);

  std::vector<Entry> entries_;
  absl::flat_hash_map<absl::string_view, size_t> index_;  // into entries_, by tensor name
  WeightTable table_;
};

}  // namespace sluice
