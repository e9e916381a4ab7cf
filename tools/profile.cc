// sluice profile: where the time of prompts and of generation goes.
#include "tools/profile/profile.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backends/device_features.h"
#include "graph/status_macros.h"
#include "models/files/output_file.h"
#include "models/unicode/printable.h"
#include "runtime/machine_memory.h"
#include "tools/commands.h"
#include "tools/engine/vulkan.h"
#include "tools/inspect/memory.h"
#include "tools/machine/ceilings.h"
#include "tools/options.h"
#include "tools/profile/report.h"
#include "tools/profile/trace.h"
#include "tools/terminal/progress.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

struct ProfileCommand {
  ModelOptions model;
  BackendOptions backend;
  CacheOptions cache;
  SessionSetup setup = {.form = RowForm::kLikeliest};
  ProfileOptions profile;
  size_t rows = 30;
  std::vector<std::string> by = {"op", "part"};
  std::string trace, format = "md";
};

// Of all steps, warm-up included.
int64_t TokensOf(const ProfileOptions& options) {
  int64_t tokens = 0;
  if (options.prompt > 0) tokens += options.depth + (1 + options.repetitions) * options.prompt;
  if (options.generate > 0) tokens += options.depth + 2 * options.generate;
  return tokens;
}

absl::Status WriteTrace(const Profile& profile, const ProfileCommand& command, OutputFile& file) {
  const std::string title = absl::StrCat(
      "sluice ", command.model.path.empty() ? "embedded model" : Printable(command.model.path));
  SLUICE_RETURN_IF_ERROR(file.Write(ChromeTrace(profile, title)));
  return file.Commit();
}

std::vector<ProfileKey> KeysOf(const std::vector<std::string>& names) {
  std::vector<ProfileKey> keys;
  for (const std::string& name : names) {
    for (const ProfileKey key : AllProfileKeys()) {
      if (Name(key) == name) keys.push_back(key);
    }
  }
  return keys;
}

// What `inspect` would say of this run.
absl::StatusOr<int64_t> PredictedPeak(const ProfileCommand& command, const LoadedSession& loaded,
                                      const SessionSetup& setup) {
  SLUICE_ASSIGN_OR_RETURN(const PlanOptions options, PlanOf(*loaded.model, command.cache, setup));
  SLUICE_ASSIGN_OR_RETURN(const ModelPlan plan, PlanModel(*loaded.model, *loaded.backend, options));
  return PredictPeak(*loaded.model, plan, {.tokens = TokensOf(command.profile), .tokenizer = false})
      .total();
}

// An encoder reads whole texts, each in one step: there is no prompt in pieces and no next token.
void AdaptToEncoder(const ModelConfig& config, ProfileOptions* options, SessionSetup* setup) {
  options->prompt = std::min(options->prompt, config.context_length);
  options->generate = 0;
  options->depth = 0;
  setup->max_tokens = std::max<int64_t>(1, options->prompt);
}

absl::StatusOr<Ceiling> CeilingOf(const Backend& backend, const BackendOptions& options) {
  if (HasFeature(backend.caps(), kOwnMemory)) {
    SLUICE_ASSIGN_OR_RETURN(const double bandwidth, MeasureVulkan(options.device));
    return Ceiling{.device = backend.caps().name(), .transfers = {{0, bandwidth}}};
  }
  const int threads = backend.caps().threads();
  const std::vector<Ceiling> ceilings = MeasureCeilings(backend.caps(), {threads});
  return ceilings.empty() ? Ceiling{.threads = threads} : ceilings[0];
}

absl::Status RunProfile(const CLI::App& app, const ProfileCommand& command) {
  SLUICE_ASSIGN_OR_RETURN(const ProcessMemory before, ReadProcessMemory());
  ProfileOptions options = command.profile;
  SessionSetup setup = command.setup;
  setup.takes_encoders = true;
  setup.events = OnTerminal();
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, command.model.Load());
  if (model->config().encoder.has_value()) {
    SLUICE_RETURN_IF_ERROR(CheckCache(app, *model));
    const std::string decoders = "on decoders: an encoder reads each text in one step";
    SLUICE_RETURN_IF_ERROR(CheckEffects(app, {{"--n-gen", false, decoders},
                                              {"--n-depth", false, decoders},
                                              {"--batch-size", false, decoders}}));
    AdaptToEncoder(model->config(), &options, &setup);
  }
  std::unique_ptr<OutputFile> trace;
  if (!command.trace.empty()) {
    SLUICE_ASSIGN_OR_RETURN(trace, OutputFile::Open(command.trace, {.inputs = model->paths()}));
  }
  setup.context = options.depth + std::max(options.prompt, options.generate);
  WarnBeyond(model->config(), setup.context);
  SLUICE_ASSIGN_OR_RETURN(LoadedSession loaded,
                          OpenSession(std::move(model), command.backend, command.cache, setup));
  Profile profile;
  {
    Progress progress("profile", TokensOf(options));
    options.kernels = loaded.backend->kernels();
    options.on_step = [&progress](int64_t tokens) { progress.Advance(tokens); };
    SLUICE_ASSIGN_OR_RETURN(profile, ProfileSteps(*loaded.session, options));
  }
  SLUICE_ASSIGN_OR_RETURN(const ProcessMemory after, ReadProcessMemory());
  SLUICE_ASSIGN_OR_RETURN(const int64_t predicted, PredictedPeak(command, loaded, setup));
  // Only now, because this takes memory, too.
  SLUICE_ASSIGN_OR_RETURN(Ceiling ceiling, CeilingOf(*loaded.backend, command.backend));
  const ProfileReport report{.keys = KeysOf(command.by),
                             .ceiling = std::move(ceiling),
                             .most_rows = command.rows,
                             .peak_growth = after.peak - before.resident,
                             .peak_predicted = predicted};
  if (trace != nullptr) SLUICE_RETURN_IF_ERROR(WriteTrace(profile, command, *trace));
  std::cout << (command.format == "json" ? ProfileJson(profile, report)
                                         : ProfileText(profile, report));
  return absl::OkStatus();
}

}  // namespace

void AddProfile(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<ProfileCommand>();
  CLI::App* command = app.add_subcommand(
      "profile", "Show where the time of prompts and of generation goes, node by node");
  Declare(command, &options->model);
  DeclareLora(command, &options->model);
  const auto sizes = CLI::Range(int64_t{0}, int64_t{1} << 24);
  command->add_option("-p,--n-prompt", options->profile.prompt, "prompt tokens; 0: none")
      ->check(sizes)
      ->capture_default_str();
  command->add_option("-n,--n-gen", options->profile.generate, "tokens to generate; 0: none")
      ->check(sizes)
      ->capture_default_str();
  command->add_option("-d,--n-depth", options->profile.depth, "tokens in the context before")
      ->check(sizes)
      ->capture_default_str();
  command
      ->add_option("-r,--repetitions", options->profile.repetitions,
                   "samples of the prompt, of which the median counts; each generated token is one")
      ->check(CLI::Range(int64_t{1}, int64_t{1000}))
      ->capture_default_str();
  command
      ->add_option("-b,--batch-size,--ubatch-size", options->setup.max_tokens,
                   "prompt tokens of one step")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->capture_default_str();
  std::vector<std::string> keys;
  for (const ProfileKey key : AllProfileKeys()) keys.emplace_back(Name(key));
  command
      ->add_option("--by", options->by, "what the tables group by: op, part, node, kernel, origin")
      ->delimiter(',')
      ->check(OneOf(keys))
      ->capture_default_str();
  command->add_option("--rows", options->rows, "rows of a table at most; 0: all")
      ->capture_default_str();
  command->add_option("--trace", options->trace,
                      "also write a trace for ui.perfetto.dev or `sluice dump --trace`");
  command->add_option("--format", options->format, "md or json")
      ->check(OneOf({"md", "json"}))
      ->capture_default_str();
  Declare(command, &options->backend);
  Declare(command, &options->cache);
  Declare(command, &options->setup.compile);
  AddExamples(
      command,
      {"profile model.gguf -p 512 -n 32 -t 2", "profile model.gguf --by op,kernel --rows 10",
       "profile model.gguf --trace t.json     for ui.perfetto.dev"},
      "Of an encoder: one text of --n-prompt tokens.");
  command->callback([command, options, status] {
    *status = Checked(
        {CheckBackend(*command, options->backend),
         CheckCompile(*command, options->backend, options->setup.compile),
         CheckEffects(*command,
                      {{"--rows", options->format == "md", "with --format md"},
                       {"--batch-size", options->profile.prompt > 0, "on prompts, and -p is 0"}})},
        [&] { return RunProfile(*command, *options); });
  });
}

}  // namespace sluice::tools
