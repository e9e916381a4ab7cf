#include "tools/engine/options.h"

#include <algorithm>
#include <iostream>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "backends/placed/placed_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/status_macros.h"
#include "models/embedded/embedded_model.h"
#include "models/files/gguf.h"
#include "passes/pass_names.h"
#include "passes/pipeline.h"
#include "runtime/session.h"
#include "tools/engine/vulkan.h"

namespace sluice::tools {
namespace {

// "FILE" or "FILE:SCALE". A colon that no number follows is part of the name.
std::pair<std::string, double> SplitScale(const std::string& text) {
  const size_t colon = text.rfind(':');
  double scale = 1;
  if (colon != std::string::npos && absl::SimpleAtod(text.substr(colon + 1), &scale)) {
    return {text.substr(0, colon), scale};
  }
  return {text, 1};
}

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> ModelOptions::OpenFile() const {
  if (path.empty()) return GgufFile::FromMemory(EmbeddedModel(), "embedded model");
  return OpenModelFile(path, {.gqa = gqa});
}

absl::StatusOr<std::unique_ptr<Model>> ModelOptions::Load() const {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model,
                          path.empty() ? Model::LoadEmbedded() : Model::Load(path, {.gqa = gqa}));
  for (const std::string& adapter : lora) {
    const auto [file, scale] = SplitScale(adapter);
    SLUICE_RETURN_IF_ERROR(model->AddLora(file, scale));
  }
  return model;
}

absl::StatusOr<std::unique_ptr<Backend>> BackendOptions::Make(
    std::function<void(const PackEvent&)> on_packed) const {
  const bool is_placed = gpu_layers >= 0 || !places.empty() || fallback;
  if (name == "cpu") {
    if (!is_placed) return MakeCpuBackend({.threads = threads, .on_packed = std::move(on_packed)});
    return absl::InvalidArgumentError(
        "--gpu-layers, --place and --fallback share a model between the CPU and another device: "
        "they need --backend vulkan");
  }
  Placement placement{.layers = gpu_layers, .fallback = fallback};
  for (const std::string& text : places) {
    absl::StatusOr<PlaceRule> rule = ParsePlaceRule(text);
    if (!rule.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--place: ", rule.status().message()));
    }
    placement.rules.push_back(*std::move(rule));
  }
  // A weight with a layout is in a graph whose kernels round what meets it.
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> first,
                          name == "ref" ? MakeRefBackend({.round_activations = true})
                                        : MakeVulkan(device, !no_coopmat));
  if (!is_placed) return first;
  placement.devices.push_back(std::move(first));
  placement.devices.push_back(
      MakeCpuBackend({.threads = threads, .on_packed = std::move(on_packed)}));
  return MakePlacedBackend(std::move(placement));
}

absl::Status CacheOptions::Apply(DecoderOptions* options) const {
  const std::optional<DType> k = DTypeFromName(k_type);
  const std::optional<DType> v = DTypeFromName(v_type);
  if (!k || !v) return absl::InvalidArgumentError("unknown cache type");
  options->k_type = *k;
  options->v_type = *v;
  return absl::OkStatus();
}

int64_t ContextOptions::For(const ModelConfig& config) const {
  const int64_t wanted = asked.value_or(usual);
  return wanted == 0 ? config.context_length : std::min(wanted, config.context_length);
}

std::string ContextOptions::Warning(const ModelConfig& config) const {
  if (For(config) >= asked.value_or(0)) return "";
  return absl::StrCat("-c ", *asked, ": the model's context ends at ", config.context_length,
                      " tokens, which is taken instead");
}

absl::StatusOr<PassOptions> CompileOptions::Passes(const Model& model) const {
  PassOptions passes{.disabled = disabled, .updates = model.updates()};
  SLUICE_ASSIGN_OR_RETURN(passes.explain, ExplainTo(std::cerr, explained));
  return passes;
}

absl::StatusOr<int64_t> CompileOptions::PrepackBytes(const Graph& graph) const {
  if (prepack_mib >= 0) return prepack_mib << 20;
  return DefaultPrepackBytes(graph);
}

absl::StatusOr<std::function<void(absl::string_view, const std::string&)>> ExplainTo(
    std::ostream& out, const std::vector<std::string>& passes) {
  for (const std::string& name : passes) {
    if (name != "all" && FindPass(name) == nullptr) return UnknownPass(name, Pipeline());
  }
  if (passes.empty()) return nullptr;
  return [&out, passes](absl::string_view pass, const std::string& what) {
    const bool is_asked = std::any_of(passes.begin(), passes.end(), [&](const std::string& name) {
      return name == "all" || name == pass;
    });
    if (is_asked) out << pass << ": " << what << "\n";
  };
}

}  // namespace sluice::tools
