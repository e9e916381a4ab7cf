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
#include "tools/usage.h"
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

// Whether the pass is reached.
bool Reaches(const DumpOptions& options, absl::string_view name) {
  for (const Pass& pass : Pipeline()) {
    if (pass.name == options.before) return false;
    if (pass.name == name) return true;
    if (pass.name == options.after) return false;
  }
  return true;
}

absl::Status CheckStages(const CLI::App& command, const DumpOptions& options) {
  const std::string with = "with --final, --after, --before or --format html";
  const bool compiles = options.final || !options.after.empty() || !options.before.empty() ||
                        options.format == "html";
  SLUICE_RETURN_IF_ERROR(
      CheckEffects(command, {{"--trace", options.format == "html", "with --format html"},
                             {"--backend", compiles, with},
                             {"--device", compiles, with},
                             {"--no-coopmat", compiles, with},
                             {"--gpu-layers", compiles, with},
                             {"--place", compiles, with},
                             {"--fallback", compiles, with},
                             {"--threads", compiles, with},
                             {"--disable-pass", compiles, with},
                             {"--explain", compiles, with},
                             {"--prepack-memory", compiles && Reaches(options, "prepack_weights"),
                              "where prepack_weights runs: with --final"}}));
  for (const auto& [option, passes] : {std::pair{"--explain", options.compile.explained},
                                       std::pair{"--disable-pass", options.compile.disabled}}) {
    for (const std::string& pass : passes) {
      // "all" is no pass, and another name of none is an error later.
      if (FindPass(pass) == nullptr || Reaches(options, pass)) continue;
      return WrongUsage(absl::StrCat("dump: ", option, " ", pass,
                                     " acts only if that pass is reached, and --",
                                     options.after.empty() ? "before " : "after ", options.after,
                                     options.before, " ends before it"));
    }
  }
  return absl::OkStatus();
}

absl::Status Dump(const CLI::App& command, const DumpOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, options.model.Load());
  SLUICE_RETURN_IF_ERROR(CheckCache(command, *model));
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
      ->check(OneOf(FormatNames()))
      ->capture_default_str();
  command
      ->add_option("--trace", options->trace,
                   "measured times for the html page, from sluice profile: those of steps whose "
                   "graph is for --tokens, decode or else prefill")
      ->option_text("FILE");
  Declare(command, &options->backend);
  Declare(command, &options->cache);
  DeclarePasses(command, &options->compile);
  std::string passes = "Passes, in order:";
  for (const Pass& pass : Pipeline()) {
    absl::StrAppend(&passes, "\n  ", absl::StrFormat("%-18s", pass.name), pass.summary);
  }
  AddExamples(command,
              {"dump model.gguf | less                    the graph as its builder made it",
               "dump model.gguf --final --tokens 1        a decode step as it will run",
               "dump --after fuse_gate_up --explain all   what nearly fitted a pattern",
               "dump model.gguf --format html > m.html    every pass and node, to read"},
              passes);
  command->callback([command, options, status] {
    *status = Checked({CheckBackend(*command, options->backend),
                       CheckCompile(*command, options->backend, options->compile),
                       CheckStages(*command, *options)},
                      [&] { return Dump(*command, *options); });
  });
}

}  // namespace sluice::tools
