#include "tools/debug/pass_report.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "graph/status_macros.h"
#include "passes/pipeline.h"

namespace sluice {
namespace {

using OpCounts = std::map<std::string, int64_t>;

OpCounts CountOps(const Graph& graph) {
  OpCounts counts;
  for (const auto& node : graph.nodes()) ++counts[node->op().name];
  return counts;
}

// Ops that are gone, then ops that have come.
std::string Difference(const OpCounts& before, const OpCounts& after) {
  OpCounts change = after;
  for (const auto& [op, count] : before) change[op] -= count;
  std::string gone, come;
  for (const auto& [op, count] : change) {
    if (count < 0) absl::StrAppend(&gone, gone.empty() ? "" : ", ", count, " ", op);
    if (count > 0) absl::StrAppend(&come, come.empty() ? "" : ", ", "+", count, " ", op);
  }
  return absl::StrCat(gone, gone.empty() || come.empty() ? "" : ", ", come);
}

constexpr absl::string_view kHead =
    R"(# The passes, and what they do to a model

<!-- Written by `sluice passes MODEL --tokens 1 --format md`; tests/passes/golden_test.cc keeps it true. -->

The pipeline stands in `passes/pipeline.cc`, with the reason for each place in it. Each pass is one file; its head
shows the graph before and after, the precondition, and when it does not run. To watch them:

    sluice dump MODEL --after fuse_qkv        the graph after a pass (or --before, --final)
    sluice dump MODEL --format html           one page to step through all of them
    sluice dump MODEL --final --explain all   what was nearly rewritten, and why not
    sluice bench MODEL --disable-pass NAME    what a pass is worth

)";

}  // namespace

absl::StatusOr<std::vector<PassEffect>> RunAndReport(const CompileContext& context,
                                                     PassOptions options, Graph* graph) {
  std::vector<PassEffect> effects;
  OpCounts last = CountOps(*graph);
  options.after_each = [&](absl::string_view pass, const Graph& stage) {
    if (pass == "build") return;
    OpCounts now = CountOps(stage);
    effects.push_back({.pass = std::string(pass), .ops = Difference(last, now)});
    last = std::move(now);
  };
  std::vector<PassReport> reports;
  SLUICE_RETURN_IF_ERROR(RunPasses(Pipeline(), context, options, graph, &reports));
  for (size_t i = 0; i < effects.size(); ++i) {
    effects[i].nodes_before = reports[i].nodes_before;
    effects[i].nodes_after = reports[i].nodes_after;
    effects[i].changed = reports[i].changed;
    effects[i].seconds = reports[i].seconds;
  }
  return effects;
}

std::string PassesPage(absl::string_view model, const std::vector<PassEffect>& effects) {
  std::string page(kHead);
  if (effects.empty()) return page;
  const size_t first = effects.front().nodes_before, last = effects.back().nodes_after;
  absl::StrAppendFormat(
      &page, "A decode step of %s: %d nodes as built, %d after all passes, %.1f%% fewer.\n\n",
      model, first, last, 100 * (1 - static_cast<double>(last) / static_cast<double>(first)));
  absl::StrAppend(&page,
                  "| pass | nodes before | after | ops | what it does |\n|---|---|---|---|---|\n");
  for (const PassEffect& effect : effects) {
    const std::string ops = !effect.ops.empty() ? effect.ops
                            : effect.changed    ? "other than ops"
                                                : "no change here";
    absl::StrAppendFormat(&page, "| %s | %d | %d | %s | %s |\n", effect.pass, effect.nodes_before,
                          effect.nodes_after, ops, FindPass(effect.pass)->summary);
  }
  return page;
}

}  // namespace sluice
