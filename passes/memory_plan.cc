#include "passes/memory_plan.h"

#include <algorithm>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "graph/nearest_name.h"
#include "graph/status_macros.h"
#include "passes/storage.h"

namespace sluice {
namespace {

absl::StatusOr<int64_t> TotalBytes(absl::Span<const std::unique_ptr<Value>> values,
                                   const SymbolValues& bounds) {
  int64_t total = 0;
  for (const auto& value : values) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, bounds.EvaluateBytes(value->type()));
    total += bytes;
  }
  return total;
}

// The regions of one device.
struct Regions {
  int64_t constants = 0, arena = 0;

  // Makes the one that the span is in large enough.
  void Cover(const std::optional<MemSpan>& span) {
    if (!span.has_value()) return;
    int64_t& end = span->region == "const" ? constants : arena;
    end = std::max(end, span->offset + span->bytes);
  }
};

}  // namespace

absl::StatusOr<MemoryPlan> MemoryPlanOf(const Graph& graph, const KernelSet* kernels) {
  const SymbolValues bounds = graph.Bounds();
  MemoryPlan plan;
  SLUICE_ASSIGN_OR_RETURN(plan.weights, TotalBytes(graph.weights(), bounds));
  SLUICE_ASSIGN_OR_RETURN(plan.states, TotalBytes(graph.states(), bounds));
  for (const auto& weight : graph.weights()) {
    if (weight->layout().empty()) continue;
    const WeightLayout* layout =
        kernels != nullptr ? kernels->FindLayout(weight->layout()) : nullptr;
    if (layout == nullptr) {
      const std::vector<absl::string_view> names =
          kernels != nullptr ? NamesOf(kernels->layouts()) : std::vector<absl::string_view>();
      return absl::InvalidArgumentError(absl::StrCat(weight->ref(), " has the unknown layout '",
                                                     weight->layout(), "'",
                                                     DidYouMean(weight->layout(), names)));
    }
    plan.packed += layout->bytes(weight->type());
  }
  std::vector<int64_t> scratch;
  absl::flat_hash_map<absl::string_view, Regions> devices;
  for (const auto& node : graph.nodes()) {
    Regions& regions = devices[node->device()];
    for (const auto& result : node->results()) regions.Cover(result->mem());
    regions.Cover(node->scratch());
    scratch.push_back(node->scratch().has_value() ? node->scratch()->bytes : 0);
    plan.scratch = std::max(plan.scratch, scratch.back());
  }
  for (const auto& [device, regions] : devices) {
    plan.constants += regions.constants;
    plan.arena += regions.arena;
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Storage> activations, CollectStorage(graph, {}));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Storage> all, CollectStorage(graph, scratch));
  plan.activations = LowerBound(activations);
  plan.lower_bound = LowerBound(all);
  return plan;
}

}  // namespace sluice
