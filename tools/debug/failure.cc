#include "tools/debug/failure.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// The op that an error is about: messages name the node as "%x (op)" or by its line of graph text,
// "%x = op(".
std::string OpNamedIn(absl::string_view message, const Graph& graph) {
  for (const auto& op : graph.registry().ops()) {
    if (absl::StrContains(message, absl::StrCat(" (", op->name, "):")) ||
        absl::StrContains(message, absl::StrCat(" = ", op->name, "("))) {
      return op->name;
    }
  }
  return "";
}

Failure FromStatus(const absl::Status& status, const Graph& graph) {
  return {.status = status,
          .op = OpNamedIn(status.message(), graph),
          .value = "",
          .what = std::string(status.message())};
}

}  // namespace

bool Failure::IsLike(const Failure& other) const {
  if (status.ok() || other.status.ok()) return status.ok() && other.status.ok();
  return status.code() == other.status.code() && op == other.op;
}

absl::StatusOr<std::vector<StepComparison>> FailureFinder::Compare(const Graph& graph) {
  const CompareOptions compare = {.tolerance = options_.tolerance > 0 ? options_.tolerance
                                                                      : DefaultTolerance(graph)};
  const GraphSetup setup = {graph, options_.seed, options_.as_is};
  if (options_.pass_by_pass) return ComparePasses(setup, got_, compare);
  return CompareBackends(setup, options_.errors_only ? nullptr : &expected_, got_, compare);
}

std::optional<Failure> FailureFinder::Find(const Graph& graph) {
  const auto steps = Compare(graph);
  if (!steps.ok()) {
    // What the oracle cannot run either is the data's fault.
    const auto alone = CompareBackends(GraphSetup{graph, options_.seed}, nullptr, expected_, {});
    if (!alone.ok()) return std::nullopt;
    return FromStatus(steps.status(), graph);
  }
  const StepComparison* step = FirstFault(*steps);
  if (step == nullptr || options_.errors_only) return std::nullopt;
  const Fault& fault = *step->comparison.fault;
  return Failure{.status = absl::OkStatus(),
                 .op = fault.op,
                 .value = fault.name,
                 .what = absl::StrCat(step->step, ": ", fault.reason)};
}

}  // namespace sluice
