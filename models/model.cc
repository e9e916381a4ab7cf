#include "models/model.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "graph/memory_for.h"
#include "graph/status_macros.h"
#include "models/architectures/decoder.h"
#include "models/architectures/encoder.h"
#include "models/embedded/embedded_model.h"
#include "models/files/gguf.h"
#include "models/weights/lora.h"
#include "models/weights/weight_directory.h"

namespace sluice {
namespace {

absl::StatusOr<Graph> Build(const ModelConfig& config, const DecoderOptions& options,
                            WeightDirectory& weights) {
  return config.encoder.has_value() ? BuildEncoder(config, options, weights)
                                    : BuildDecoder(config, options, weights);
}

// Tensors that some architectures use beside their layers, in front of the first one or in all.
constexpr absl::string_view kActing[] = {"token_embd_norm",   "position_embd",
                                         "token_types",       "rope_freqs",
                                         "rope_factors_long", "rope_factors_short"};
// Of a layer, and follows from the metadata.
constexpr absl::string_view kRotation = "attn_rot_embd";

// Whether a model that has the tensor gives other values than a graph that does not use it: one of
// a layer that the graph has, a bias or a factor of a weight that it uses, or a known one. Others,
// such as heads for another purpose, are no part of the way from tokens to logits.
bool ChangesValues(absl::string_view tensor, const ModelConfig& config, const WeightTable& used) {
  const absl::string_view stem = tensor.substr(0, tensor.rfind('.'));
  const std::vector<absl::string_view> parts = absl::StrSplit(tensor, absl::MaxSplits('.', 2));
  size_t layer;
  if (parts.size() == 3 && parts[0] == "blk" && absl::SimpleAtoi(parts[1], &layer)) {
    return layer < config.layers.size() && !absl::StartsWith(parts[2], kRotation);
  }
  return used.contains(stem) || absl::c_linear_search(kActing, stem);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> Model::Load(const std::string& path,
                                                   const FileOptions& options) {
  return WithMemoryFor(path, [&]() -> absl::StatusOr<std::unique_ptr<Model>> {
    SLUICE_ASSIGN_OR_RETURN(ModelFiles files, OpenModelFiles(path, options));
    return FromFiles(std::move(files));
  });
}

absl::StatusOr<std::unique_ptr<Model>> Model::LoadEmbedded() {
  ModelFiles files;
  SLUICE_ASSIGN_OR_RETURN(files.emplace_back(),
                          GgufFile::FromMemory(EmbeddedModel(), "embedded model"));
  return FromFiles(std::move(files));
}

absl::StatusOr<std::unique_ptr<Model>> Model::FromFiles(ModelFiles files) {
  auto model = absl::WrapUnique(new Model(std::move(files)));
  SLUICE_RETURN_IF_ERROR(model->Initialize());
  return model;
}

std::vector<std::string> Model::paths() const {
  std::vector<std::string> paths;
  for (const ModelFiles* const files : {&files_, &adapters_}) {
    for (const auto& file : *files) paths.push_back(file->path());
  }
  return paths;
}

absl::Status Model::AddFile(const absl::Status& status) const {
  return absl::Status(status.code(), absl::StrCat(file().path(), ": ", status.message()));
}

absl::Status Model::Initialize() {
  SLUICE_ASSIGN_OR_RETURN(config_, ReadConfig(file(), &warnings_));
  // Building the smallest graph finds and checks the weights of all of them.
  WeightDirectory weights(files_);
  const DecoderOptions smallest = {.max_tokens = 1, .context = 1};
  const absl::StatusOr<Graph> graph = Build(config_, smallest, weights);
  if (!graph.ok()) return AddFile(graph.status());
  weights_ = weights.table();
  return CheckUnusedTensors(weights.UnusedTensors());
}

absl::Status Model::CheckUnusedTensors(const std::vector<absl::string_view>& names) {
  constexpr size_t kShown = 8;
  if (names.empty()) return absl::OkStatus();
  for (const absl::string_view name : names) {
    if (!ChangesValues(name, config_, weights_)) continue;
    return AddFile(absl::UnimplementedError(absl::StrCat(
        "tensor '", Printable(name), "': graphs of '", config_.architecture,
        "' do not use it, so that all values would be wrong: expected a file without it, or of "
        "another architecture")));
  }
  const size_t shown = std::min(names.size(), kShown);
  const auto append_quoted = [](std::string* out, absl::string_view name) {
    absl::StrAppend(out, "'", Printable(name), "'");
  };
  std::string warning = absl::StrCat(
      file().path(), ": ", names.size(), names.size() == 1 ? " tensor is" : " tensors are",
      " not used: ", absl::StrJoin(absl::MakeConstSpan(names).first(shown), ", ", append_quoted));
  if (shown < names.size()) absl::StrAppend(&warning, " and ", names.size() - shown, " more");
  warnings_.push_back(std::move(warning));
  return absl::OkStatus();
}

absl::StatusOr<Graph> Model::BuildGraph(const DecoderOptions& options) const {
  WeightDirectory weights(files_);
  absl::StatusOr<Graph> graph = Build(config_, options, weights);
  if (!graph.ok()) return AddFile(graph.status());
  return graph;
}

absl::Status Model::AddLora(const std::string& path, double scale) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<WeightSource> file, OpenModelFile(path));
  SLUICE_ASSIGN_OR_RETURN(const Graph graph, BuildGraph({.max_tokens = 1, .context = 1}));
  const int number = static_cast<int>(adapters_.size()) + 1;
  SLUICE_ASSIGN_OR_RETURN(const LoraAdapter adapter, ReadLora(*file, graph, number, scale));
  updates_.insert(updates_.end(), adapter.updates.begin(), adapter.updates.end());
  weights_.insert(adapter.weights.begin(), adapter.weights.end());
  warnings_.insert(warnings_.end(), adapter.warnings.begin(), adapter.warnings.end());
  adapters_.push_back(std::move(file));
  return absl::OkStatus();
}

absl::Status Model::CheckNotShrunk() const {
  for (const ModelFiles* files : {&files_, &adapters_}) {
    for (const auto& file : *files) SLUICE_RETURN_IF_ERROR(file->CheckNotShrunk());
  }
  return absl::OkStatus();
}

void Model::Release(absl::Span<const std::byte> part) const {
  for (const ModelFiles* files : {&files_, &adapters_}) {
    for (const auto& file : *files) file->Release(part);
  }
}

absl::StatusOr<const Tokenizer*> Model::tokenizer() {
  if (tokenizer_ == nullptr) {
    SLUICE_ASSIGN_OR_RETURN(tokenizer_,
                            WithMemoryFor(absl::StrCat("the vocabulary of ", file().path()),
                                          [&] { return Tokenizer::Load(file(), &warnings_); }));
  }
  return tokenizer_.get();
}

}  // namespace sluice
