// sluice opt: runs chosen passes over a graph in a file. With none it checks and reprints it.
#include <algorithm>
#include <iostream>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "graph/nearest_name.h"
#include "graph/status_macros.h"
#include "passes/pass_names.h"
#include "passes/pipeline.h"
#include "tools/commands.h"
#include "tools/debug/read_graph.h"
#include "tools/graph_format.h"
#include "tools/options.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

struct OptOptions {
  BackendOptions backend;
  std::string file, passes, format = "text";
  std::vector<std::string> bounds, explained;
  int64_t prepack_mib = 0;
  bool time = false;
};

absl::StatusOr<std::vector<Pass>> ChosenPasses(const std::string& list) {
  std::vector<Pass> passes;
  for (absl::string_view name : absl::StrSplit(list, ',', absl::SkipWhitespace())) {
    const Pass* pass = FindPass(name);
    if (pass == nullptr) return UnknownPass(name, Pipeline());
    passes.push_back(*pass);
  }
  return passes;
}

// "tokens=1"
absl::StatusOr<SymbolValues> ParseBounds(const std::vector<std::string>& texts) {
  SymbolValues bounds;
  for (const std::string& text : texts) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
    int64_t bound = 0;
    if (!absl::SimpleAtoi(parts.second, &bound) || bound < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("--bound: '", text, "', expected SYMBOL=N with N of at least 1"));
    }
    if (bounds.Get(parts.first) > 0) {
      return WrongUsage(absl::StrCat("opt: --bound ", parts.first, " is given twice"));
    }
    bounds.Set(parts.first, bound);
  }
  return bounds;
}

// Of each option the passes that it is for.
absl::Status CheckPasses(const CLI::App& command, const OptOptions& options) {
  const std::vector<std::string> passes =
      absl::StrSplit(options.passes, ',', absl::SkipWhitespace());
  const auto runs = [&](absl::string_view name) {
    return std::find(passes.begin(), passes.end(), name) != passes.end();
  };
  const bool some = !passes.empty();
  for (const std::string& pass : options.explained) {
    if (some && (pass == "all" || runs(pass) || FindPass(pass) == nullptr)) continue;
    return WrongUsage(absl::StrCat("opt: --explain ", pass, " acts only on a pass of --passes"));
  }
  return CheckEffects(command, {{"--bound", runs("specialise"), "with specialise among the passes"},
                                {"--prepack-memory", runs("prepack_weights"),
                                 "with prepack_weights among the passes"},
                                {"--time", some, "with --passes"}});
}

// Errors name a symbol that the graph does not have, or a bound beyond its own.
absl::Status CheckBounds(const SymbolValues& bounds, const Graph& graph) {
  for (const auto& entry : bounds.entries()) {
    const std::string& symbol = entry.first;
    const int64_t bound = entry.second;
    const auto known = std::find_if(graph.symbols().begin(), graph.symbols().end(),
                                    [&](const SymbolDef& def) { return def.name == symbol; });
    if (known == graph.symbols().end()) {
      const std::vector<absl::string_view> names = NamesOf(graph.symbols());
      return WrongUsage(absl::StrCat(
          "opt: --bound ", symbol, ": the graph has no such symbol, but ",
          names.empty() ? "none" : absl::StrJoin(names, ", "), DidYouMean(symbol, names)));
    }
    if (bound > known->bound) {
      return WrongUsage(absl::StrCat("opt: --bound ", symbol, "=", bound, ": expected 1 to ",
                                     known->bound, ", the bound in the graph"));
    }
  }
  return absl::OkStatus();
}

// A plan that was made here must hold. Of one that was there, what it breaks is told: the graph may
// be for another target, and is printed as it is.
absl::Status CheckPlan(const OptOptions& options, const Backend& backend, const Graph& graph) {
  if (StageOf(graph, ContextOf(backend)) != Stage::kPlaces) return absl::OkStatus();
  const absl::Status status = VerifyPlan(backend, graph);
  if (status.ok() || !options.passes.empty()) return status;
  Warn(absl::StrCat(options.file, ": the graph's plan does not hold for ", backend.name(), ": ",
                    status.message()));
  return absl::OkStatus();
}

absl::Status Opt(const OptOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Pass> passes, ChosenPasses(options.passes));
  SLUICE_ASSIGN_OR_RETURN(const std::string content, ReadFile(options.file));
  SLUICE_ASSIGN_OR_RETURN(Graph graph, ReadGraph(content, options.file));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, options.backend.Make());
  const CompileContext context = ContextOf(*backend);
  PassOptions settings;
  SLUICE_ASSIGN_OR_RETURN(settings.bucket, ParseBounds(options.bounds));
  SLUICE_RETURN_IF_ERROR(CheckBounds(settings.bucket, graph));
  SLUICE_ASSIGN_OR_RETURN(settings.explain, ExplainTo(std::cerr, options.explained));
  PackPlan packs{.budget = options.prepack_mib << 20};
  settings.packs = &packs;
  std::vector<PassReport> report;
  SLUICE_RETURN_IF_ERROR(RunPasses(passes, context, settings, &graph, &report));
  SLUICE_RETURN_IF_ERROR(CheckPlan(options, *backend, graph));
  SLUICE_ASSIGN_OR_RETURN(const std::string text, Format(graph, options.format));
  std::cout << text;
  if (!options.time) return absl::OkStatus();
  for (const PassReport& entry : report) {
    std::cerr << absl::StrFormat("%-18s %8.3f ms  %5d -> %d nodes%s\n", entry.name,
                                 entry.seconds * 1e3, entry.nodes_before, entry.nodes_after,
                                 entry.changed ? "" : "  (no change)");
  }
  return absl::OkStatus();
}

}  // namespace

void AddOpt(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<OptOptions>();
  CLI::App* command =
      app.add_subcommand("opt", "Run passes over a graph file and print the result");
  command->add_option("FILE", options->file, "graph as text, proto, text proto or JSON; -: stdin")
      ->required();
  command->add_option("--passes", options->passes,
                      "names with commas between, in order; none: \"\"");
  command->add_option("--format", options->format, kFormatHelp)
      ->check(OneOf(FormatNames()))
      ->capture_default_str();
  command->add_option("--bound", options->bounds,
                      "tokens=1: the bucket that specialise makes the graph for; may be repeated");
  command
      ->add_option("--prepack-memory", options->prepack_mib,
                   "MiB that prepack_weights may spend on weights in other layouts")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
      ->capture_default_str();
  DeclareExplain(command, &options->explained);
  command->add_flag("--time", options->time, "time and node counts of each pass, on stderr");
  Declare(command, &options->backend);
  AddExamples(command, {"opt step.ir                                    checks and prints it again",
                        "opt step.ir --passes canonicalise,fuse_qkv --explain all",
                        "dump m.gguf | sluice opt - --passes specialise --bound tokens=1"});
  command->callback([command, options, status] {
    *status = Checked({CheckBackend(*command, options->backend), CheckPasses(*command, *options)},
                      [&] { return Opt(*options); });
  });
}

}  // namespace sluice::tools
