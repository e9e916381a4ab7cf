// sluice passes: what each pass does to a model, as a table.
#include <algorithm>
#include <iostream>
#include <memory>

#include "absl/strings/str_format.h"
#include "graph/status_macros.h"
#include "models/files/tokenizer_keys.h"
#include "models/model.h"
#include "passes/pipeline.h"
#include "passes/specialise.h"
#include "tools/commands.h"
#include "tools/debug/pass_report.h"
#include "tools/options.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

struct PassesOptions {
  ModelOptions model;
  BackendOptions backend;
  int64_t tokens = 1;
  std::string format = "text";
  ContextOptions context;
  CompileOptions compile;
};

void PrintText(const std::vector<PassEffect>& effects) {
  double total = 0;
  for (const PassEffect& effect : effects) {
    std::cout << absl::StreamFormat("%-18s %5d -> %5d nodes  %7.3f ms  %s\n", effect.pass,
                                    effect.nodes_before, effect.nodes_after, effect.seconds * 1e3,
                                    effect.changed ? effect.ops : "no change");
    total += effect.seconds;
  }
  std::cout << absl::StreamFormat("%-18s %5d -> %5d nodes  %7.3f ms\n", "all",
                                  effects.front().nodes_before, effects.back().nodes_after,
                                  total * 1e3);
}

absl::Status Passes(const PassesOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, options.model.Load());
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, options.backend.Make());
  DecoderOptions decoder;
  decoder.max_tokens = std::max(decoder.max_tokens, options.tokens);
  decoder.context = options.context.For(model->config());
  SLUICE_ASSIGN_OR_RETURN(Graph graph, model->BuildGraph(decoder));
  const CompileContext context = ContextOf(*backend);
  // As in a session: passes that are given no packs pack nothing.
  PackPlan packs;
  SLUICE_ASSIGN_OR_RETURN(packs.budget, options.compile.PrepackBytes(graph));
  SLUICE_ASSIGN_OR_RETURN(PassOptions passes, options.compile.Passes(*model));
  passes.bucket = BucketBounds(options.tokens, 1);
  passes.packs = &packs;
  SLUICE_ASSIGN_OR_RETURN(const std::vector<PassEffect> effects,
                          RunAndReport(context, passes, &graph));
  PrintWarnings(*model, options.context);
  if (options.format == "md") {
    SLUICE_ASSIGN_OR_RETURN(const absl::string_view name,
                            ReadKey<absl::string_view>(model->file(), "general.name",
                                                       &MetadataValue::AsString, graph.name()));
    std::cout << PassesPage(name, effects);
  } else {
    PrintText(effects);
  }
  return absl::OkStatus();
}

}  // namespace

void AddPasses(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<PassesOptions>();
  CLI::App* command =
      app.add_subcommand("passes", "Show what each pass does to a model: nodes, ops and time");
  Declare(command, &options->model);
  DeclareLora(command, &options->model);
  command->add_option("--tokens", options->tokens, "tokens of a step, at most; 1: a decode step")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->capture_default_str();
  Declare(command, &options->context);
  command->add_option("--format", options->format, "text, or md: the page docs/passes.md")
      ->check(OneOf({"text", "md"}))
      ->capture_default_str();
  Declare(command, &options->backend);
  DeclarePasses(command, &options->compile);
  AddExamples(command, {"passes model.gguf                 of a decode step",
                        "passes model.gguf --tokens 512    of a prompt",
                        "passes --format md > passes.md    as docs/passes.md"});
  command->callback([command, options, status] {
    *status = Checked({CheckBackend(*command, options->backend),
                       CheckCompile(*command, options->backend, options->compile)},
                      [&] { return Passes(*options); });
  });
}

}  // namespace sluice::tools
