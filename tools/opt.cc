// sluice opt: runs chosen passes over a graph in a file. With none it checks and reprints it.
#include <iostream>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "graph/status_macros.h"
#include "passes/pipeline.h"
#include "tools/commands.h"
#include "tools/debug/read_graph.h"
#include "tools/graph_format.h"
#include "tools/options.h"

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
    if (pass == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "unknown pass '", name, "'; the passes are ",
          absl::StrJoin(Pipeline(), ", ",
                        [](std::string* out, const Pass& p) { absl::StrAppend(out, p.name); })));
    }
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
    bounds.Set(parts.first, bound);
  }
  return bounds;
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
      ->check(CLI::IsMember(FormatNames()))
      ->capture_default_str();
  command
      ->add_option("--bound", options->bounds,
                   "tokens=1: the bucket that specialise makes the graph for; may be repeated")
      ->allow_extra_args(false);
  command
      ->add_option("--prepack-memory", options->prepack_mib,
                   "MiB that prepack_weights may spend on weights in other layouts")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
      ->capture_default_str();
  DeclareExplain(command, &options->explained);
  command->add_flag("--time", options->time, "time and node counts of each pass, on stderr");
  Declare(command, &options->backend);
  command->callback([options, status] { *status = Opt(*options); });
}

}  // namespace sluice::tools
