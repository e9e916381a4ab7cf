// sluice inspect: what a model holds, costs and needs, without running it or reading a weight.
#include "tools/inspect/inspect.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "tools/commands.h"
#include "tools/inspect/report.h"
#include "tools/machine/ceilings.h"
#include "tools/options.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

struct InspectCommand {
  ModelOptions model;
  BackendOptions backend;
  CacheOptions cache;
  ContextOptions context;
  SessionSetup setup = {.form = RowForm::kLikeliest};
  PeakOptions peak;
  bool measure = false;
  std::string format = "text";
  ReportOptions report;
};

absl::Status Inspect(const CLI::App& app, InspectCommand command) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, command.model.Load());
  SLUICE_RETURN_IF_ERROR(CheckCache(app, *model));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, command.backend.Make());
  command.setup.context = command.context.For(model->config());
  if (command.peak.prompt > command.setup.context) {
    return absl::InvalidArgumentError(absl::StrCat("-p ", command.peak.prompt,
                                                   ": the prompt is longer than the context of ",
                                                   command.setup.context, " tokens (-c)"));
  }
  SLUICE_ASSIGN_OR_RETURN(PlanOptions plan, PlanOf(*model, command.cache, command.setup));
  SLUICE_ASSIGN_OR_RETURN(
      const Inspection inspection,
      InspectModel(*model, *backend, {.plan = std::move(plan), .peak = command.peak}));
  if (command.measure) {
    const int threads = backend->caps().threads();
    const std::vector<Ceiling> ceilings = MeasureCeilings(backend->caps(), {threads});
    if (!ceilings.empty()) command.report.ceiling = ceilings[0];
  }
  PrintWarnings(*model, command.context);
  std::cout << (command.format == "json" ? InspectionJson(*model, inspection, command.report)
                                         : InspectionText(*model, inspection, command.report));
  return absl::OkStatus();
}

}  // namespace

void AddInspect(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<InspectCommand>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Show what a model holds, what a step costs, and whether it fits this machine");
  Declare(command, &options->model);
  DeclareLora(command, &options->model);
  Declare(command, &options->context);
  command
      ->add_option("-p,--n-prompt", options->peak.prompt,
                   "prompt tokens that peak memory is predicted for; 0: as many as the context")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
      ->capture_default_str();
  command
      ->add_option("-b,--batch-size,--ubatch-size", options->setup.max_tokens,
                   "prompt tokens of one step")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->capture_default_str();
  command->add_flag("--all", options->report.all_metadata, "every metadata key");
  command->add_flag(
      "--measure", options->measure,
      "measure bandwidth and arithmetic (about a second): bounds the speed of decoding");
  command->add_option("--format", options->format, "text or json")
      ->check(OneOf({"text", "json"}))
      ->capture_default_str();
  Declare(command, &options->backend);
  Declare(command, &options->cache);
  Declare(command, &options->setup.compile);
  AddExamples(command, {"inspect model.gguf -c 8192           what it takes, and whether it fits",
                        "inspect model.gguf --measure -t 2    with a bound of its speed",
                        "inspect model.gguf --format json     for programs"});
  command->callback([command, options, status] {
    *status = Checked({CheckBackend(*command, options->backend),
                       CheckCompile(*command, options->backend, options->setup.compile)},
                      [&] { return Inspect(*command, *options); });
  });
}

}  // namespace sluice::tools
