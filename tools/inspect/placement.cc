#include "tools/inspect/placement.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "graph/device_split.h"
#include "graph/status_macros.h"
#include "tools/terminal/markdown_table.h"
#include "tools/terminal/units.h"

namespace sluice {
namespace {

std::string Bytes(int64_t bytes) { return BytesText(static_cast<double>(bytes)); }

DirectionUse& DirectionOf(const std::string& from, const std::string& to, StepPlacement* step) {
  auto& directions = step->directions;
  const auto found = std::find_if(directions.begin(), directions.end(), [&](const auto& use) {
    return use.from == from && use.to == to;
  });
  return found != directions.end() ? *found : directions.emplace_back(DirectionUse{from, to});
}

}  // namespace

absl::StatusOr<StepPlacement> PlacementOf(const Graph& graph, int64_t tokens,
                                          const KernelSet* kernels) {
  StepPlacement step{.tokens = tokens};
  if (graph.nodes().empty() || graph.nodes()[0]->device().empty()) return step;
  SLUICE_ASSIGN_OR_RETURN(const DeviceSplit split, SplitByDevice(graph));
  for (const DeviceGraph& part : split.graphs) {
    DeviceUse& use = step.devices.emplace_back(
        DeviceUse{.device = part.device, .nodes = static_cast<int64_t>(part.graph.nodes().size())});
    SLUICE_ASSIGN_OR_RETURN(use.memory, MemoryPlanOf(part.graph, kernels));
  }
  const SymbolValues bounds = graph.Bounds();
  for (const DevicePart& part : split.parts) {
    ++step.devices[part.device].parts;
    for (const DeviceTransfer& transfer : part.transfers) {
      const Value& input = *split.graphs[transfer.to].graph.inputs()[transfer.input];
      DirectionUse& use =
          DirectionOf(split.graphs[transfer.from].device, split.graphs[transfer.to].device, &step);
      SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, bounds.EvaluateBytes(input.type()));
      ++use.copies;
      use.bytes += bytes;
    }
  }
  return step;
}

std::string PlacementText(const std::vector<StepPlacement>& steps) {
  if (steps.empty() || steps[0].devices.empty()) return "";
  std::vector<std::vector<std::string>> devices = {
      {"device", "tokens of a step", "nodes", "parts", "weights", "KV cache", "arena"}};
  std::vector<std::vector<std::string>> copies = {
      {"copied", "tokens of a step", "copies", "size", "size a token"}};
  for (const StepPlacement& step : steps) {
    for (const DeviceUse& use : step.devices) {
      devices.push_back({use.device, absl::StrCat(step.tokens), absl::StrCat(use.nodes),
                         absl::StrCat(use.parts), Bytes(use.memory.weights),
                         Bytes(use.memory.states), Bytes(use.memory.arena)});
    }
    for (const DirectionUse& use : step.directions) {
      copies.push_back({absl::StrCat(use.from, " to ", use.to), absl::StrCat(step.tokens),
                        absl::StrCat(use.copies), Bytes(use.bytes),
                        Bytes(use.bytes / step.tokens)});
    }
  }
  std::string text = absl::StrCat("\nPlacement\n\n", MarkdownTable(devices));
  if (copies.size() > 1) absl::StrAppend(&text, "\n", MarkdownTable(copies));
  return text;
}

nlohmann::ordered_json PlacementJson(const std::vector<StepPlacement>& steps) {
  using Json = nlohmann::ordered_json;
  Json list = Json::array();
  for (const StepPlacement& step : steps) {
    if (step.devices.empty()) continue;
    Json devices = Json::array(), copies = Json::array();
    for (const DeviceUse& use : step.devices) {
      devices.push_back({{"device", use.device},
                         {"nodes", use.nodes},
                         {"parts", use.parts},
                         {"weights", use.memory.weights},
                         {"cache", use.memory.states},
                         {"arena", use.memory.arena}});
    }
    for (const DirectionUse& use : step.directions) {
      copies.push_back(
          {{"from", use.from}, {"to", use.to}, {"copies", use.copies}, {"bytes", use.bytes}});
    }
    list.push_back(
        {{"tokens", step.tokens}, {"devices", std::move(devices)}, {"copies", std::move(copies)}});
  }
  return list;
}

}  // namespace sluice
