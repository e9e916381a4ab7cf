// A model file, ready to be turned into a graph: configuration, tokenizer and weights.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "graph/graph.h"
#include "graph/weights.h"
#include "models/config.h"
#include "models/gguf.h"
#include "models/tokenizer.h"

namespace sluice {

// What a graph is built for. The bounds are those of graph/decoder_interface.h.
struct DecoderOptions {
  int64_t max_tokens = 512;  // bound of `tokens` and `outputs`
  int64_t max_seqs = 1;
  int64_t context = 0;     // longest sequence, for the bound of `table`; 0: the model's own
  int64_t block_size = 16;  // tokens of a cache block
  int64_t blocks = 0;      // cache blocks in the pool; 0: enough for max_seqs full sequences
  DType k_type = DType::kF16;
  DType v_type = DType::kF16;
};

class Model {
 public:
  // Reads a file's directory and metadata; weights stay mapped and untouched.
  static absl::StatusOr<std::unique_ptr<Model>> Load(const std::string& path);
  static absl::StatusOr<std::unique_ptr<Model>> LoadEmbedded();

  const GgufFile& file() const { return *file_; }
  const ModelConfig& config() const { return config_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

  // The verified graph, as the architecture's builder emits it. Missing tensors, wrong shapes and
  // unsupported options are errors that name the tensor or key.
  absl::StatusOr<Graph> BuildGraph(const DecoderOptions& options) const;

  // The data of every weight of the graphs that BuildGraph makes.
  const WeightTable& weights() const { return weights_; }

  // The vocabulary. Loaded on first call (it takes longer than the graph).
  absl::StatusOr<const Tokenizer*> tokenizer();

 private:
  Model() = default;
  std::unique_ptr<GgufFile> file_;
  ModelConfig config_;
  std::vector<std::string> warnings_;
  WeightTable weights_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

}  // namespace sluice
