#include "tools/options.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "backends/placed/placed_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/status_macros.h"
#include "models/embedded/embedded_model.h"
#include "models/gguf.h"
#include "passes/memory_plan.h"
#include "passes/pipeline.h"
#include "tools/analysis/inspect_machine.h"
#include "tools/devices.h"

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

void ModelOptions::Declare(CLI::App* command) {
  CLI::Option* model = command->add_option(
      "MODEL,-m,--model", path, "model file; left out: the small story model inside this program");
  command
      ->add_option("--gqa", gqa,
                   "heads that share a key-value head, for ggml, ggmf and ggjt files; left out: "
                   "as the weights' shapes say")
      ->check(CLI::Range(int64_t{1}, ModelLimits::kHeads))
      ->needs(model);
}

absl::StatusOr<std::unique_ptr<WeightSource>> ModelOptions::OpenFile() const {
  if (path.empty()) return GgufFile::FromMemory(EmbeddedModel(), "embedded model");
  return OpenModelFile(path, {.gqa = gqa});
}

void ModelOptions::DeclareLora(CLI::App* command) {
  command
      ->add_option("--lora", lora,
                   "LoRA adapter and how often it counts, 1 if left out; may be repeated")
      ->option_text("FILE[:SCALE]")
      ->allow_extra_args(false);
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

void BackendOptions::Declare(CLI::App* command) {
  command->add_option("--backend", name, "cpu, vulkan, or ref: the slow and plain reference")
      ->check(CLI::IsMember({"cpu", "vulkan", "ref"}))
      ->capture_default_str();
  command->add_option("--device", device, "Vulkan device, as `sluice devices` counts; -1: the best")
      ->check(CLI::Range(-1, 255))
      ->capture_default_str();
  command->add_flag("--no-coopmat", no_coopmat,
                    "products of many tokens in float32, also where the device multiplies matrices "
                    "of float16, which is faster");
  command
      ->add_option("--gpu-layers,--n-gpu-layers", gpu_layers,
                   "-ngl: 1: the output runs on the device, 2: the last layer, too, and so on; the "
                   "rest runs on the CPU, as the embedding then always does; -1: all on the device")
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 30))
      ->capture_default_str();
  command
      ->add_option("--place", places,
                   "nodes whose name, or a weight of theirs, has a match run there; the first that "
                   "fits counts; may be repeated: --place exps=cpu")
      ->option_text("REGEX=cpu|vulkan")
      ->allow_extra_args(false);
  command->add_flag("--fallback", fallback,
                    "nodes that the device has no kernel for run on the CPU");
  command->add_option("-t,--threads", threads, "threads; 0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
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
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> first,
                          name == "ref" ? MakeRefBackend() : MakeVulkan(device, !no_coopmat));
  if (!is_placed) return first;
  placement.devices.push_back(std::move(first));
  placement.devices.push_back(
      MakeCpuBackend({.threads = threads, .on_packed = std::move(on_packed)}));
  return MakePlacedBackend(std::move(placement));
}

void CacheOptions::Declare(CLI::App* command) {
  const auto types = CLI::IsMember({"f32", "f16", "bf16", "q8_0"});
  command->add_option("--cache-type-k", k_type, "-ctk: type of the key cache: f32, f16, bf16, q8_0")
      ->check(types)
      ->capture_default_str();
  command
      ->add_option("--cache-type-v", v_type, "-ctv: type of the value cache: f32, f16, bf16, q8_0")
      ->check(types)
      ->capture_default_str();
}

absl::Status CacheOptions::Apply(DecoderOptions* options) const {
  const std::optional<DType> k = DTypeFromName(k_type);
  const std::optional<DType> v = DTypeFromName(v_type);
  if (!k || !v) return absl::InvalidArgumentError("unknown cache type");
  options->k_type = *k;
  options->v_type = *v;
  return absl::OkStatus();
}

void CompileOptions::Declare(CLI::App* command) {
  DeclareDisable(command, &disabled);
  DeclareExplain(command, &explained);
  command->add_option("--buckets", buckets, "sizes of step to compile for, rising: 1,4,16,512")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(int64_t{1}, int64_t{65536}));
  command
      ->add_option("--prepack-memory", prepack_mib,
                   "MiB for weights in a layout that is read faster; -1: what is free")
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 30))
      ->capture_default_str();
}

absl::StatusOr<PassOptions> CompileOptions::Passes(const Model& model) const {
  PassOptions passes{.disabled = disabled, .updates = model.updates()};
  SLUICE_ASSIGN_OR_RETURN(passes.explain, ExplainTo(std::cerr, explained));
  return passes;
}

// Packed weights take the place of the file's, whose memory is let go: they cost what they need
// beside the cache and the activations of a step, and a tenth is left to others, because unlike a
// file's pages they cannot be taken away for a while.
absl::StatusOr<int64_t> CompileOptions::PrepackBytes(const Graph& graph) const {
  if (prepack_mib >= 0) return prepack_mib << 20;
  SLUICE_ASSIGN_OR_RETURN(const MemoryPlan plan, MemoryPlanOf(graph));
  const absl::StatusOr<MachineMemory> machine = ReadMachineMemory();
  if (!machine.ok()) return 0;  // an unusual system: nothing that can be spared is known
  return std::max<int64_t>(0, machine->available / 10 * 9 - plan.states - plan.activations);
}

void PackProgress::OnPacked(const PackEvent& event) {
  model_.Release(event.part);
  if (!bar_.has_value()) {
    bar_.emplace("packing weights", event.total);
    shown_ = 0;
  }
  bar_->Advance(event.done - shown_);
  shown_ = event.done;
  if (event.done == event.total) bar_.reset();
}

absl::StatusOr<LoadedSession> OpenSession(const ModelOptions& model, const BackendOptions& backend,
                                          const CacheOptions& cache, const SessionSetup& setup) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Model> loaded, model.Load());
  return OpenSession(std::move(loaded), backend, cache, setup);
}

absl::StatusOr<LoadedSession> OpenSession(std::unique_ptr<Model> model,
                                          const BackendOptions& backend, const CacheOptions& cache,
                                          const SessionSetup& setup) {
  const ModelConfig& config = model->config();
  if (config.encoder.has_value() && !setup.takes_encoders) {
    return absl::InvalidArgumentError(
        absl::StrCat(model->file().path(), ": '", config.architecture,
                     "' is an encoder, which writes no text: use `sluice embed`"));
  }
  LoadedSession loaded;
  loaded.model = std::move(model);
  loaded.packing = std::make_unique<PackProgress>(*loaded.model);
  SLUICE_ASSIGN_OR_RETURN(loaded.backend,
                          backend.Make([packing = loaded.packing.get()](const PackEvent& event) {
                            packing->OnPacked(event);
                          }));
  DecoderOptions options;
  SLUICE_RETURN_IF_ERROR(cache.Apply(&options));
  options.context = setup.context;
  options.max_tokens = setup.max_tokens;
  options.max_seqs = setup.max_seqs;
  options.pooling = setup.pooling;
  SLUICE_ASSIGN_OR_RETURN(Graph graph, loaded.model->BuildGraph(options));
  SessionOptions session{.max_outputs = setup.max_outputs, .buckets = setup.compile.buckets};
  SLUICE_ASSIGN_OR_RETURN(session.prepack_bytes, setup.compile.PrepackBytes(graph));
  SLUICE_ASSIGN_OR_RETURN(session.passes, setup.compile.Passes(*loaded.model));
  SLUICE_ASSIGN_OR_RETURN(loaded.session, Session::Create(std::move(graph), loaded.model->weights(),
                                                          *loaded.backend, session));
  // Compiling now finds what no kernel can run before anything is printed or written.
  SLUICE_RETURN_IF_ERROR(loaded.session->ExecutableFor(1, setup.form).status());
  PrintWarnings(*loaded.model);
  return loaded;
}

absl::StatusOr<PlanOptions> PlanOf(const Model& model, const CacheOptions& cache,
                                   const SessionSetup& setup) {
  PlanOptions plan = {.decoder = {.max_tokens = setup.max_tokens,
                                  .max_seqs = setup.max_seqs,
                                  .context = setup.context},
                      .max_outputs = setup.max_outputs,
                      .buckets = setup.compile.buckets,
                      .form = setup.form};
  SLUICE_RETURN_IF_ERROR(cache.Apply(&plan.decoder));
  SLUICE_ASSIGN_OR_RETURN(const Graph graph, model.BuildGraph(plan.decoder));
  SLUICE_ASSIGN_OR_RETURN(plan.prepack_bytes, setup.compile.PrepackBytes(graph));
  SLUICE_ASSIGN_OR_RETURN(plan.passes, setup.compile.Passes(model));
  return plan;
}

void DeclareDisable(CLI::App* command, std::vector<std::string>* passes) {
  command->add_option("--disable-pass", *passes, "leave out a pass; may be repeated")
      ->delimiter(',')
      ->allow_extra_args(false);
}

void DeclareExplain(CLI::App* command, std::vector<std::string>* passes) {
  command
      ->add_option("--explain", *passes,
                   "say on stderr what this pass nearly did and why not; all: every pass")
      ->delimiter(',')
      ->allow_extra_args(false);
}

absl::StatusOr<std::function<void(absl::string_view, const std::string&)>> ExplainTo(
    std::ostream& out, const std::vector<std::string>& passes) {
  for (const std::string& name : passes) {
    if (name != "all" && FindPass(name) == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("--explain: unknown pass '", name, "'; `sluice dump --help` lists them"));
    }
  }
  if (passes.empty()) return nullptr;
  return [&out, passes](absl::string_view pass, const std::string& what) {
    const bool is_asked = std::any_of(passes.begin(), passes.end(), [&](const std::string& name) {
      return name == "all" || name == pass;
    });
    if (is_asked) out << pass << ": " << what << "\n";
  };
}

absl::StatusOr<std::vector<int32_t>> ParseIds(const std::string& text) {
  std::vector<int32_t> ids;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    int32_t id = 0;
    if (!absl::SimpleAtoi(part, &id)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--ids: '", part, "' is no token id; expected numbers like 1,2,3"));
    }
    ids.push_back(id);
  }
  return ids;
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::stringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
    return text.str();
  }
  std::ifstream file(path, std::ios::binary);
  if (file) text << file.rdbuf();
  if (!file) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  }
  return text.str();
}

void Warn(const std::string& message) { std::cerr << "warning: " << message << "\n"; }

void PrintWarnings(const Model& model) {
  for (const std::string& warning : model.warnings()) Warn(warning);
}

void DeclareDraft(CLI::App* command, DraftOptions* draft) {
  CLI::Option* const ngram = command->add_option(
      "--draft-ngram", draft->ngram,
      "guess what comes next from the last place that reads like the end of the text, in up to N "
      "tokens (3 is usual), and run several tokens at once; the text stays the same; 0: off");
  ngram->check(CLI::Range(0, 64))->capture_default_str();
  command->add_option("--draft-max", draft->max, "tokens to guess at once, at most")
      ->check(CLI::Range(1, 64))
      ->capture_default_str()
      ->needs(ngram);
}

}  // namespace sluice::tools
