#include "models/model.h"

#include <algorithm>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/status_macros.h"
#include "models/architectures/decoder.h"
#include "models/embedded/embedded_model.h"
#include "models/weight_directory.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<Model>> Model::Load(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::Open(path));
  return FromFile(std::move(file));
}

absl::StatusOr<std::unique_ptr<Model>> Model::LoadEmbedded() {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file,
                          GgufFile::FromMemory(EmbeddedModel(), "embedded model"));
  return FromFile(std::move(file));
}

absl::StatusOr<std::unique_ptr<Model>> Model::FromFile(std::unique_ptr<GgufFile> file) {
  auto model = absl::WrapUnique(new Model(std::move(file)));
  SLUICE_RETURN_IF_ERROR(model->Initialize());
  return model;
}

absl::Status Model::AddFile(const absl::Status& status) const {
  return absl::Status(status.code(), absl::StrCat(file_->path(), ": ", status.message()));
}

absl::Status Model::Initialize() {
  SLUICE_ASSIGN_OR_RETURN(config_, ReadConfig(*file_, &warnings_));
  // Building the smallest graph finds and checks the weights of all of them.
  WeightDirectory weights(*file_);
  const DecoderOptions smallest = {.max_tokens = 1, .context = 1};
  const absl::StatusOr<Graph> graph = BuildDecoder(config_, smallest, weights);
  if (!graph.ok()) return AddFile(graph.status());
  weights_ = weights.table();
  WarnOfUnusedTensors(weights.UnusedTensors());
  return absl::OkStatus();
}

void Model::WarnOfUnusedTensors(const std::vector<absl::string_view>& names) {
  constexpr size_t kShown = 8;
  if (names.empty()) return;
  const size_t shown = std::min(names.size(), kShown);
  const auto append_quoted = [](std::string* out, absl::string_view name) {
    absl::StrAppend(out, "'", Printable(name), "'");
  };
  std::string warning = absl::StrCat(
      file_->path(), ": ", names.size(), names.size() == 1 ? " tensor is" : " tensors are",
      " not used: ", absl::StrJoin(names.begin(), names.begin() + shown, ", ", append_quoted));
  if (shown < names.size()) absl::StrAppend(&warning, " and ", names.size() - shown, " more");
  warnings_.push_back(std::move(warning));
}

absl::StatusOr<Graph> Model::BuildGraph(const DecoderOptions& options) const {
  WeightDirectory weights(*file_);
  absl::StatusOr<Graph> graph = BuildDecoder(config_, options, weights);
  if (!graph.ok()) return AddFile(graph.status());
  return graph;
}

absl::StatusOr<const Tokenizer*> Model::tokenizer() {
  if (tokenizer_ == nullptr) {
    SLUICE_ASSIGN_OR_RETURN(tokenizer_, Tokenizer::Load(*file_, &warnings_));
  }
  return tokenizer_.get();
}

}  // namespace sluice
