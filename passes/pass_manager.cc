#include "passes/pass_manager.h"

#include <algorithm>
#include <chrono>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/status_macros.h"
#include "graph/verifier.h"

namespace sluice {
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
      return absl::InvalidArgumentError(absl::StrCat(
          "unknown pass '", name, "'; the passes are ",
          absl::StrJoin(passes, ", ",
                        [](std::string* out, const Pass& p) { absl::StrAppend(out, p.name); })));
    }
  }
  return absl::OkStatus();
}

absl::Status RunOne(const Pass& pass, const CompileContext& context, const PassOptions& options,
                    Graph* graph, PassReport* report) {
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

size_t HashSpan(size_t hash, const std::optional<MemSpan>& span) {
  return span ? absl::HashOf(hash, span->region, span->offset, span->bytes) : hash;
}

}  // namespace

absl::Status RunPasses(absl::Span<const Pass> passes, const CompileContext& context,
                       const PassOptions& options, Graph* graph, std::vector<PassReport>* report) {
  SLUICE_RETURN_IF_ERROR(CheckNames(passes, options));
  bool has_started = options.start_at.empty();
  if (has_started && options.after_each) options.after_each("build", *graph);
  int index = 0;
  for (const Pass& pass : passes) {
    if (pass.name == options.stop_before || (options.limit >= 0 && index >= options.limit)) break;
    ++index;
    has_started |= pass.name == options.start_at;
    if (has_started && !Contains(options.disabled, pass.name)) {
      PassReport entry;
      if (absl::Status status = RunOne(pass, context, options, graph, &entry); !status.ok()) {
        return absl::Status(status.code(),
                            absl::StrCat("pass ", pass.name, ": ", status.message()));
      }
      if (options.after_each) options.after_each(pass.name, *graph);
      if (report != nullptr) report->push_back(std::move(entry));
    }
    if (pass.name == options.stop_after) break;
  }
  return absl::OkStatus();
}

uint64_t Fingerprint(const Graph& graph) {
  size_t hash = absl::HashOf(graph.weights().size(), graph.states().size(), graph.inputs().size());
  for (const auto& node : graph.nodes()) {
    hash = absl::HashOf(hash, &node->op(), node->device(), node->kernel(), node->origin(),
                        node->once());
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
