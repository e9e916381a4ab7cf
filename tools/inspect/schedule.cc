#include "tools/inspect/schedule.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

void Add(const NodeWork& work, NodeWork* sum) {
  sum->dispatches += work.dispatches;
  sum->copies += work.copies;
  sum->barriers += work.barriers;
}

}  // namespace

NodeWork LayerWork::Sum() const {
  NodeWork sum;
  for (const NodeWork& node : nodes) Add(node, &sum);
  return sum;
}

StepSchedule ScheduleByLayer(absl::Span<const StepWork> work) {
  constexpr int kNone = std::numeric_limits<int>::max();
  StepSchedule schedule;
  std::map<int, std::vector<NodeWork>> layers;
  for (const StepWork& step : work) {
    NodeWork node = {
        .dispatches = step.dispatches, .copies = step.copies, .barriers = step.barriers};
    int layer = -1;
    if (step.node != nullptr) {
      node.op = step.node->op().name;
      node.kernel = step.node->kernel();
      layer = step.node->layer();
    }
    Add(node, &schedule.total);
    layers[layer >= 0 ? layer : kNone].push_back(std::move(node));
  }
  for (auto& entry : layers) {
    const int layer = entry.first;
    std::vector<NodeWork>& nodes = entry.second;
    auto kind = std::find_if(schedule.kinds.begin(), schedule.kinds.end(),
                             [&](const LayerWork& k) { return k.nodes == nodes; });
    if (kind == schedule.kinds.end() || layer == kNone) {
      kind = schedule.kinds.insert(schedule.kinds.end(), {.nodes = std::move(nodes)});
    }
    if (layer != kNone) kind->layers.push_back(layer);
  }
  return schedule;
}

std::string LayersText(absl::Span<const int> layers) {
  if (layers.empty()) return "none";
  std::string text;
  for (size_t first = 0, end = 0; first < layers.size(); first = end) {
    for (end = first + 1; end < layers.size() && layers[end] == layers[end - 1] + 1;) ++end;
    absl::StrAppend(&text, first > 0 ? ", " : "", layers[first]);
    if (end - first > 1) absl::StrAppend(&text, "-", layers[end - 1]);
  }
  return text;
}

}  // namespace sluice
