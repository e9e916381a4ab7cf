#include "runtime/likeliest.h"

#include <algorithm>

#include "backends/device_features.h"
#include "backends/placement.h"
#include "graph/encoder_interface.h"
#include "graph/status_macros.h"
#include "runtime/logit_rows.h"

namespace sluice {

bool CopiesLogits(const Graph& graph, const Backend& backend) {
  if (PoolingOf(graph).has_value()) return false;  // the rows of an encoder are no logits
  const Placement* placement = backend.placement();
  const Backend* device =
      placement == nullptr ? &backend : placement->Find(graph.outputs()[0]->producer()->device());
  return device != nullptr && HasFeature(device->caps(), kOwnMemory);
}

absl::StatusOr<Graph> WithLikeliest(Graph graph) {
  Value* logits = graph.outputs()[0];
  const int64_t k = std::min(kLikeliest, logits->type().shape[1].factor());
  SLUICE_ASSIGN_OR_RETURN(
      Node* const node,
      graph.Add({.op = "top_k",
                 .operands = {logits},
                 .attrs = {{"k", k}},
                 .names = {graph.UniqueName("likeliest"), graph.UniqueName("likeliest_ids")}}));
  node->Accompany(*logits->producer());
  SLUICE_RETURN_IF_ERROR(graph.SetOutputs({node->result(0), node->result(1)}));
  return graph;
}

}  // namespace sluice
