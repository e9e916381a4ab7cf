// sluice dump: the graph of a model at any stage of compilation. Never touches weight data.
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "graph/status_macros.h"
#include "passes/pipeline.h"
#include "runtime/likeliest.h"
#include "tools/commands.h"
#include "tools/graph_format.h"
#include "tools/options.h"
#include "tools/views/page.h"
#include "tools/views/page_data.h"

namespace sluice::tools {
namespace {

struct DumpOptions {
  ModelOptions model;
  BackendOptions backend;
  CacheOptions cache;
  std::string after, before, trace, format = "text";
  bool final = false;
  bool likeliest = false;
  int64_t tokens = 512;
  ContextOptions context;
  CompileOptions compile;
};

absl::StatusOr<Graph> Build(const DumpOptions& options, const Model& model) {
  DecoderOptions decoder;
  SLUICE_RETURN_IF_ERROR(options.cache.Apply(&decoder));
  decoder.max_tokens = options.tokens;
  decoder.context = options.context.For(model.config());
  SLUICE_ASSIGN_OR_RETURN(Graph graph, model.BuildGraph(decoder));
  if (!options.likeliest) return graph;
  if (model.config().encoder.has_value()) {
    return absl::InvalidArgumentError("--likeliest: an encoder has no logits");
  }
  return WithLikeliest(std::move(graph));
}

// `packs` gets the budget that a session would have.
absl::StatusOr<PassOptions> Passes(const DumpOptions& options, const Model& model,
                                   const Graph& graph, PackPlan* packs) {
  SLUICE_ASSIGN_OR_RETURN(PassOptions passes, options.compile.Passes(model));
  SLUICE_ASSIGN_OR_RETURN(packs->budget, options.compile.PrepackBytes(graph));
  passes.stop_before = options.before;
  passes.stop_after = options.after;
  passes.packs = packs;
  return passes;
}

// The graph at one stage.
absl::StatusOr<std::string> OneStage(const DumpOptions& options, const Model& model, Graph graph) {
  if (options.final || !options.after.empty() || !options.before.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, options.backend.Make());
    PackPlan packs;
    SLUICE_ASSIGN_OR_RETURN(const PassOptions passes, Passes(options, model, graph, &packs));
    SLUICE_RETURN_IF_ERROR(Optimize(*backend, passes, &graph));
  }
  return Format(graph, options.format);
}

// A page with every stage up to the one that was asked for.
absl::StatusOr<std::string> AllStages(const DumpOptions& options, const Model& model, Graph graph) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, options.backend.Make());
  const CompileContext context = ContextOf(*backend);
  const std::string& path = options.model.path;
  PageData page(path.empty() ? "embedded model" : path.substr(path.rfind('/') + 1), context);
  if (!options.trace.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const std::string content, ReadFile(options.trace));
    SLUICE_ASSIGN_OR_RETURN(TraceTimes times, ReadTrace(content, options.trace, options.tokens));
    page.SetTimes(std::move(times));
  }
  PackPlan packs;
  SLUICE_ASSIGN_OR_RETURN(PassOptions passes, Passes(options, model, graph, &packs));
  passes.after_each = [&page](absl::string_view pass, const Graph& stage) {
    page.AddStage(pass, stage);
  };
  SLUICE_RETURN_IF_ERROR(Optimize(*backend, passes, &graph));
  return HtmlPage(page.Json());
}

absl::Status Dump(const DumpOptions& options) {
  if (!options.trace.empty() && options.format != "html") {
    return absl::InvalidArgumentError("--trace needs --format html");
  }
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, options.model.Load());
  SLUICE_ASSIGN_OR_RETURN(Graph graph, Build(options, *model));
  SLUICE_ASSIGN_OR_RETURN(const std::string text,
                          options.format == "html" ? AllStages(options, *model, std::move(graph))
                                                   : OneStage(options, *model, std::move(graph)));
  PrintWarnings(*model, options.context);
  std::cout << text;
  return absl::OkStatus();
}

}  // namespace

void AddDump(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<DumpOptions>();
  CLI::App* command =
      app.add_subcommand("dump", "Print a model's graph, as built or after any pass");
  Declare(command, &options->model);
  DeclareLora(command, &options->model);
  auto* after = command->add_option("--after", options->after, "run the passes up to this one");
  auto* before = command->add_option("--before", options->before, "run the passes before this one");
  auto* final = command->add_flag("--final", options->final, "run all passes");
  command->add_flag("--likeliest", options->likeliest,
                    "of each row of logits the largest only, as devices choose them");
  after->excludes(before)->excludes(final);
  before->excludes(final);
  command->add_option("--tokens", options->tokens, "tokens of a step, at most; 1: a decode step")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->capture_default_str();
  Declare(command, &options->context);
  command->add_option("--format", options->format, kFormatHelp)
      ->check(CLI::IsMember(FormatNames()))
      ->capture_default_str();
  command
      ->add_option("--trace", options->trace,
                   "measured times for the html page, from sluice profile: those of steps whose "
                   "graph is for --tokens, decode or else prefill")
      ->option_text("FILE");
  Declare(command, &options->backend);
  Declare(command, &options->cache);
  Declare(command, &options->compile);
  std::string passes = "Passes, in order:";
  for (const Pass& pass : Pipeline()) {
    absl::StrAppend(&passes, "\n  ", absl::StrFormat("%-18s", pass.name), pass.summary);
  }
  command->footer(passes);
  command->callback([options, status] { *status = Dump(*options); });
}

}  // namespace sluice::tools
