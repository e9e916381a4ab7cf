#include "tools/options.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "graph/status_macros.h"
#include "models/files/file_descriptor.h"
#include "models/unicode/printable.h"
#include "tools/commands.h"
#include "tools/terminal/progress.h"
#include "tools/usage.h"

namespace sluice::tools {

void Declare(CLI::App* command, ModelOptions* options) {
  CLI::Option* model =
      command->add_option("MODEL,-m,--model", options->path,
                          "model file; left out: the small story model inside this program");
  command
      ->add_option("--gqa", options->gqa,
                   "heads that share a key-value head, for ggml, ggmf and ggjt files; left out: "
                   "as the weights' shapes say")
      ->check(CLI::Range(int64_t{1}, ModelLimits::kHeads))
      ->needs(model);
}

void DeclareLora(CLI::App* command, ModelOptions* options) {
  command
      ->add_option("--lora", options->lora,
                   "LoRA adapter and how often it counts, 1 if left out; may be repeated")
      ->option_text("FILE[:SCALE]");
}

void Declare(CLI::App* command, BackendOptions* options) {
  command
      ->add_option("--backend", options->name, "cpu, vulkan, or ref: the slow and plain reference")
      ->check(OneOf({"cpu", "vulkan", "ref"}))
      ->capture_default_str();
  command
      ->add_option("--device", options->device,
                   "Vulkan device, as `sluice devices` counts; -1: the best")
      ->check(CLI::Range(-1, 255))
      ->capture_default_str();
  command->add_flag("--no-coopmat", options->no_coopmat,
                    "products of many tokens in float32, also where the device multiplies matrices "
                    "of float16, which is faster");
  command
      ->add_option("--gpu-layers,--n-gpu-layers", options->gpu_layers,
                   "-ngl: 1: the output runs on the device, 2: the last layer, too, and so on; the "
                   "rest runs on the CPU, as the embedding then always does; -1: all on the device")
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 30))
      ->capture_default_str();
  command
      ->add_option("--place", options->places,
                   "nodes whose name, or a weight of theirs, has a match run there; the first that "
                   "fits counts; may be repeated: --place exps=cpu")
      ->option_text("REGEX=cpu|vulkan");
  command->add_flag("--fallback", options->fallback,
                    "nodes that the device has no kernel for run on the CPU");
  command->add_option("-t,--threads", options->threads, "threads; 0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
}

void Declare(CLI::App* command, CacheOptions* options) {
  const auto types = OneOf({"f32", "f16", "bf16", "q8_0"});
  command
      ->add_option("--cache-type-k", options->k_type,
                   "-ctk: type of the key cache: f32, f16, bf16, q8_0")
      ->check(types)
      ->capture_default_str();
  command
      ->add_option("--cache-type-v", options->v_type,
                   "-ctv: type of the value cache: f32, f16, bf16, q8_0")
      ->check(types)
      ->capture_default_str();
}

void Declare(CLI::App* command, CompileOptions* options) {
  DeclarePasses(command, options);
  command
      ->add_option("--buckets", options->buckets,
                   "sizes of step to compile for, rising: 1,4,16,512")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, int64_t{65536}));
}

void DeclarePasses(CLI::App* command, CompileOptions* options) {
  DeclareDisable(command, &options->disabled);
  DeclareExplain(command, &options->explained);
  command
      ->add_option("--prepack-memory", options->prepack_mib,
                   "MiB for weights in a layout that is read faster; -1: what is free")
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 30))
      ->capture_default_str();
}

absl::Status CheckBackend(const CLI::App& command, const BackendOptions& options,
                          bool threads_act) {
  const bool is_cpu = options.name == "cpu", is_vulkan = options.name == "vulkan";
  const bool is_shared = options.gpu_layers >= 0 || !options.places.empty() || options.fallback;
  WarnOfIdle(command, {{"--threads", is_cpu || is_shared || threads_act,
                        absl::StrCat("on the CPU, and not with --backend ", options.name)}});
  const std::string vulkan = "with --backend vulkan";
  return CheckEffects(command, {{"--device", is_vulkan, vulkan},
                                {"--no-coopmat", is_vulkan, vulkan},
                                {"--gpu-layers", !is_cpu, vulkan},
                                {"--place", !is_cpu, vulkan},
                                {"--fallback", !is_cpu, vulkan}});
}

absl::Status CheckCompile(const CLI::App& command, const BackendOptions& backend,
                          const CompileOptions& options) {
  const auto is_left_out = [&](const std::string& pass) {
    return std::find(options.disabled.begin(), options.disabled.end(), pass) !=
           options.disabled.end();
  };
  for (const std::string& pass : options.explained) {
    if (!is_left_out(pass)) continue;
    return WrongUsage(absl::StrCat(command.get_name(), ": --explain ", pass,
                                   " acts only without --disable-pass ", pass));
  }
  WarnOfIdle(command, {{"--prepack-memory", backend.name != "ref",
                        "on devices with layouts of their own, and not with --backend ref"}});
  return CheckEffects(command, {{"--prepack-memory", !is_left_out("prepack_weights"),
                                 "without --disable-pass prepack_weights"}});
}

absl::Status CheckCache(const CLI::App& command, const Model& model) {
  const bool is_decoder = !model.config().encoder.has_value();
  const std::string decoders = absl::StrCat("on decoders: '", model.config().architecture,
                                            "' is an encoder and has no cache");
  return CheckEffects(command, {{"--ctx-size", is_decoder, decoders},
                                {"--cache-type-k", is_decoder, decoders},
                                {"--cache-type-v", is_decoder, decoders}});
}

void Declare(CLI::App* command, ContextOptions* options, const std::string& what,
             const std::string& usual) {
  command
      ->add_option("-c,--ctx-size", options->asked,
                   absl::StrCat(what, ", at most the model's own; 0: the model's own"))
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
      ->default_str(usual.empty() ? absl::StrCat(options->usual) : usual);
}

SessionEvents OnTerminal() {
  auto bar = std::make_shared<std::optional<Progress>>();
  return {.on_packed =
              [bar, shown = int64_t{0}](const PackEvent& event) mutable {
                if (!bar->has_value()) {
                  bar->emplace("packing weights", event.total);
                  shown = 0;
                }
                (*bar)->Advance(event.done - shown);
                shown = event.done;
                if (event.done == event.total) bar->reset();
              },
          .on_warning = Warn};
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
      ->delimiter(',');
}

void DeclareExplain(CLI::App* command, std::vector<std::string>* passes) {
  command
      ->add_option("--explain", *passes,
                   "say on stderr what this pass nearly did and why not; all: every pass")
      ->delimiter(',');
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

// With system calls: a stream that cannot read on looks like the end of its file.
absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const bool is_input = path == "-";
  const FileDescriptor file(is_input ? dup(STDIN_FILENO)
                                     : open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text, part(1 << 16, '\0');
  for (;;) {
    const ssize_t length = file.is_open() ? read(file.get(), part.data(), part.size()) : -1;
    if (length < 0 && errno == EINTR && file.is_open()) continue;
    if (length < 0) {
      return absl::NotFoundError(
          absl::StrCat("cannot read ", is_input ? "standard input" : path,
                       file.is_open() ? " (read): " : " (open): ", std::strerror(errno)));
    }
    if (length == 0) return text;
    text.append(part, 0, static_cast<size_t>(length));
  }
}

void Warn(const std::string& message) {
  std::cerr << "warning: " << PrintableText(message) << "\n";
}

void WarnBeyond(const ModelConfig& config, int64_t tokens) {
  if (tokens <= config.context_length) return;
  Warn(absl::StrCat(tokens, " tokens are beyond the model's context of ", config.context_length,
                    ": times hold, what it would say does not"));
}

void PrintWarnings(const Model& model) {
  for (const std::string& warning : model.warnings()) Warn(warning);
}

void PrintWarnings(const Model& model, const ContextOptions& context) {
  PrintWarnings(model);
  const std::string warning = context.Warning(model.config());
  if (!warning.empty()) Warn(warning);
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

absl::Status CheckDraft(const CLI::App& command, const DraftOptions& draft, int64_t batch) {
  return CheckEffects(
      command, {{"--draft-max", draft.ngram > 0, "with --draft-ngram from 1 on"},
                {"--batch-size", draft.ngram == 0 || batch > draft.max,
                 absl::StrCat("from ", draft.max + 1, " on, to hold the tokens of --draft-max")}});
}

}  // namespace sluice::tools
