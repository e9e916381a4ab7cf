#include "passes/pass_manager.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/nearest_name.h"
#include "graph/status_macros.h"
#include "graph/verifier.h"
#include "passes/kernel_choice.h"
#include "passes/pass_names.h"

namespace sluice {
namespace {

bool NeedsKernel(const Node& node, const CompileContext& context) {
  if (node.op().is_view) return false;
  return context.caps == nullptr || TargetOf(node.device(), context).kernels != nullptr;
}

// "": every node that needs a kernel has one.
std::string NodeWithoutKernel(const Graph& graph, const CompileContext& context) {
  for (const auto& node : graph.nodes()) {
    if (NeedsKernel(*node, context) && node->kernel().empty()) {
      return absl::StrCat("%", node->name());
    }
  }
  return "";
}

bool HasPlaces(const Graph& graph) {
  return std::any_of(graph.nodes().begin(), graph.nodes().end(), [](const auto& node) {
    return node->scratch().has_value() ||
           std::any_of(node->results().begin(), node->results().end(),
                       [](const auto& result) { return result->mem().has_value(); });
  });
}

}  // namespace

Stage StageOf(const Graph& graph, const CompileContext& context) {
  if (HasPlaces(graph)) return Stage::kPlaces;
  const bool has_kernels = std::any_of(graph.nodes().begin(), graph.nodes().end(),
                                       [](const auto& node) { return !node->kernel().empty(); });
  return has_kernels && NodeWithoutKernel(graph, context).empty() ? Stage::kKernels : Stage::kNodes;
}

namespace {

bool Contains(absl::Span<const std::string> names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

absl::Status CheckNames(absl::Span<const Pass> passes, const PassOptions& options) {
  std::vector<std::string> asked = options.disabled;
  for (const std::string& name : {options.start_at, options.stop_before, options.stop_after}) {
    if (!name.empty()) asked.push_back(name);
  }
  for (const std::string& name : asked) {
    if (std::none_of(passes.begin(), passes.end(), [&](auto& p) { return p.name == name; })) {
      return UnknownPass(name, passes);
    }
  }
  return absl::OkStatus();
}

void ForgetPlaces(Graph* graph) {
  for (const auto& node : graph->nodes()) {
    node->set_scratch({});
    for (const auto& result : node->results()) result->set_mem({});
  }
}

absl::Status RunOne(const Pass& pass, const CompileContext& context, const PassOptions& options,
                    Graph* graph, PassReport* report) {
  if (pass.gives < Stage::kPlaces) ForgetPlaces(graph);
  const uint64_t before = options.verify ? Fingerprint(*graph) : 0;
  report->name = std::string(pass.name);
  report->nodes_before = graph->nodes().size();
  CompileContext with_options = context;
  if (!options.bucket.entries().empty()) with_options.bucket = options.bucket;
  if (options.packs != nullptr) with_options.packs = options.packs;
  if (!options.updates.empty()) with_options.updates = options.updates;
  if (options.explain) {
    with_options.explain = [&](const std::string& what) { options.explain(pass.name, what); };
  }
  const auto start = std::chrono::steady_clock::now();
  SLUICE_ASSIGN_OR_RETURN(report->changed, pass.run(*graph, with_options));
  report->seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report->nodes_after = graph->nodes().size();
  if (!options.verify) return absl::OkStatus();
  if ((Fingerprint(*graph) != before) != report->changed) {
    return absl::InternalError(absl::StrCat("reports changed=", report->changed,
                                            ", but the graph did ", report->changed ? "not " : "",
                                            "change"));
  }
  return Verify(*graph);
}

// The passes that run.
std::vector<const Pass*> Chosen(absl::Span<const Pass> passes, const PassOptions& options) {
  std::vector<const Pass*> chosen;
  bool has_started = options.start_at.empty();
  int index = 0;
  for (const Pass& pass : passes) {
    if (pass.name == options.stop_before || (options.limit >= 0 && index >= options.limit)) break;
    ++index;
    has_started |= pass.name == options.start_at;
    if (has_started && !Contains(options.disabled, pass.name)) chosen.push_back(&pass);
    if (pass.name == options.stop_after) break;
  }
  return chosen;
}

// What is reached at any time must be reached in the end.
absl::Status CheckOrder(absl::Span<const Pass* const> passes, const CompileContext& context,
                        const Graph& graph) {
  constexpr absl::string_view kChooser = "select_kernels", kPlanner = "plan_memory";
  const std::string bare = NodeWithoutKernel(graph, context);
  bool has_kernels = bare.empty();
  Stage reached = StageOf(graph, context), most = reached;
  const Pass *giver = nullptr, *undoer = nullptr;  // of `most`; nullptr: the graph has it
  for (const Pass* pass : passes) {
    // A target without a kernel list has none.
    if (context.kernels != nullptr && pass->needs >= Stage::kKernels && !has_kernels) {
      return absl::InvalidArgumentError(
          absl::StrCat("pass ", pass->name, " needs a kernel for every node",
                       bare.empty() ? "" : absl::StrCat(", and ", bare, " has none"), ": run ",
                       kChooser, " before it"));
    }
    has_kernels = pass->gives >= Stage::kKernels;
    if (pass->gives < reached && undoer == nullptr) undoer = pass;
    reached = pass->gives;
    if (reached < most) continue;
    most = reached;
    giver = pass;
    undoer = nullptr;
  }
  if (undoer == nullptr) return absl::OkStatus();
  const absl::string_view what = most == Stage::kPlaces ? "places in memory" : "kernels";
  if (giver != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("pass ", undoer->name, " undoes the ", what,
                                                   " that ", giver->name, " gives: run it before ",
                                                   giver->name));
  }
  std::vector<absl::string_view> makers;
  if (undoer->gives < Stage::kKernels) makers.push_back(kChooser);
  if (most == Stage::kPlaces) makers.push_back(kPlanner);
  return absl::InvalidArgumentError(
      absl::StrCat("pass ", undoer->name, " undoes the ", what, " that the graph has: run ",
                   absl::StrJoin(makers, ","), " after it, for new ones"));
}

size_t HashSpan(size_t hash, const std::optional<MemSpan>& span) {
  return span ? absl::HashOf(hash, span->region, span->offset, span->bytes) : hash;
}

}  // namespace

absl::Status UnknownPass(absl::string_view name, absl::Span<const Pass> passes) {
  const std::vector<absl::string_view> names = NamesOf(passes);
  return absl::InvalidArgumentError(absl::StrCat("unknown pass '", name, "'; the passes are ",
                                                 absl::StrJoin(names, ", "),
                                                 DidYouMean(name, names)));
}

absl::Status RunPasses(absl::Span<const Pass> passes, const CompileContext& context,
                       const PassOptions& options, Graph* graph, std::vector<PassReport>* report) {
  SLUICE_RETURN_IF_ERROR(CheckNames(passes, options));
  const std::vector<const Pass*> chosen = Chosen(passes, options);
  SLUICE_RETURN_IF_ERROR(CheckOrder(chosen, context, *graph));
  if (options.start_at.empty() && options.after_each) options.after_each("build", *graph);
  for (const Pass* pass : chosen) {
    PassReport entry;
    if (absl::Status status = RunOne(*pass, context, options, graph, &entry); !status.ok()) {
      return absl::Status(status.code(), absl::StrCat("pass ", pass->name, ": ", status.message()));
    }
    if (options.after_each) options.after_each(pass->name, *graph);
    if (report != nullptr) report->push_back(std::move(entry));
  }
  return absl::OkStatus();
}

uint64_t Fingerprint(const Graph& graph) {
  size_t hash = absl::HashOf(graph.weights().size(), graph.states().size(), graph.inputs().size());
  for (const auto& node : graph.nodes()) {
    hash = absl::HashOf(hash, &node->op(), node->device(), node->kernel(), node->origin(),
                        node->once(), node->layer());
    hash = HashSpan(hash, node->scratch());
    for (const Value* operand : node->operands()) hash = absl::HashOf(hash, operand);
    for (const auto& [name, value] : node->attrs()) {
      hash = absl::HashOf(hash, name, ToString(value));
    }
    for (const auto& result : node->results()) {
      hash = absl::HashOf(hash, result.get(), result->name());
      hash = HashSpan(hash, result->mem());
    }
  }
  for (const SymbolDef& symbol : graph.symbols()) {
    hash = absl::HashOf(hash, symbol.name, symbol.bound);
  }
  for (const auto& weight : graph.weights()) hash = absl::HashOf(hash, weight->layout());
  for (const Value* output : graph.outputs()) hash = absl::HashOf(hash, output);
  return hash;
}

}  // namespace sluice
