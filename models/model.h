// A model file, ready to be turned into a graph: configuration, tokenizer and weights.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "graph/graph.h"
#include "graph/low_rank_update.h"
#include "graph/weights.h"
#include "models/architectures/config.h"
#include "models/architectures/decoder_options.h"
#include "models/files/model_files.h"
#include "models/text/tokenizer.h"

namespace sluice {

class Model {
 public:
  // Reads the directory and metadata of a file (of a split model: the first part; see
  // model_files.h) and finds every weight. Weights stay mapped and untouched. Errors name the file
  // and the key or tensor: a configuration that ReadConfig refuses, a missing tensor, a wrong
  // shape, a tensor that no graph uses though it would change the logits.
  static absl::StatusOr<std::unique_ptr<Model>> Load(const std::string& path,
                                                     const FileOptions& options = {});
  // The model that is built into the program.
  static absl::StatusOr<std::unique_ptr<Model>> LoadEmbedded();
  static absl::StatusOr<std::unique_ptr<Model>> FromFiles(ModelFiles files);

  // The one with the metadata.
  const WeightSource& file() const { return *files_[0]; }
  const ModelFiles& files() const { return files_; }
  const ModelConfig& config() const { return config_; }
  // Oddities that were worked around; each names the file and the key or tensor.
  const std::vector<std::string>& warnings() const { return warnings_; }

  // The verified graph, as the architecture's builder emits it. After Load() only options can be
  // wrong; errors name them. Safe to call from several threads.
  absl::StatusOr<Graph> BuildGraph(const DecoderOptions& options) const;

  // DataLoss if a file has become shorter since it was opened.
  absl::Status CheckNotShrunk() const;

  // Opens a LoRA adapter that counts `scale` times; several add up. BuildGraph's graphs stay as
  // they are: it is the pass add_lora that puts updates() into them. Not while a graph of the model
  // is in use. Errors: those of OpenModelFile and of ReadLora (lora.h), which leave the model as it
  // was.
  absl::Status AddLora(const std::string& path, double scale);
  absl::Span<const LowRankUpdate> updates() const { return updates_; }
  const ModelFiles& adapters() const { return adapters_; }

  // The data of every weight of the graphs that BuildGraph makes, and of updates().
  const WeightTable& weights() const { return weights_; }

  // Lets go of the memory of a part of a weight's data: it is read from the file again when it is
  // used again.
  void Release(absl::Span<const std::byte> part) const;

  // The vocabulary. Loaded on first call (it takes longer than the graph); adds to warnings().
  // Not safe to call from several threads at once.
  absl::StatusOr<const Tokenizer*> tokenizer();

  // Of all files and adapters: what no output may overwrite.
  std::vector<std::string> paths() const;

 private:
  explicit Model(ModelFiles files) : files_(std::move(files)) {}
  absl::Status Initialize();
  absl::Status AddFile(const absl::Status& status) const;
  absl::Status CheckUnusedTensors(const std::vector<absl::string_view>& names);

  ModelFiles files_, adapters_;
  std::vector<LowRankUpdate> updates_;
  ModelConfig config_;
  std::vector<std::string> warnings_;
  WeightTable weights_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

}  // namespace sluice
