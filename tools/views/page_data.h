// What the HTML page of a compilation shows, as JSON: the graph at every stage.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "graph/graph.h"
#include "passes/pass.h"
#include "tools/views/trace.h"

namespace sluice {

// Everything about a node: "op", "layer", "operands" and "results" (references), "types", "attrs",
// "kernel", "mem" and "scratch" ([region, offset, bytes]), "once", "origin", "cost" ([flops, bytes
// read, bytes written] at the bounds) and, once it has a kernel, "choices" ([kernel, refusal,
// estimated seconds] of every kernel for the op). What is empty is left out.
nlohmann::json NodeRecord(const Node& node, const Graph& graph, const CompileContext& context);

// Collects stages. The JSON has "title", "ops" and "kernels" (their documentation), "times" (by
// node [median microseconds, runs]), "timed" (which steps these are of; "" without times) and
// "stages". A stage is the difference to the one before, the first to an empty graph:
//   removed  names of nodes
//   placed   [name, name of the node before it or ""] of added and moved nodes, in order
//   nodes    for each added or changed node the fields of its record that differ; null: gone
//   sources  for each input, weight or state that differs its record; null: gone
//   graph    name, attributes, symbols, outputs, if any of them differs
// Removing, taking out what is placed, placing and assigning gives the stage.
class PageData {
 public:
  // `context` is that of the passes; it outlives the object.
  PageData(std::string title, const CompileContext& context)
      : title_(std::move(title)), context_(context) {}

  void SetTimes(TraceTimes times) { times_ = std::move(times); }
  // `name` is a pass's, or "build".
  void AddStage(absl::string_view name, const Graph& graph);
  nlohmann::json Json() const;

 private:
  using Records = std::map<std::string, nlohmann::json>;

  nlohmann::json NodeChanges(const Graph& graph);
  nlohmann::json SourceChanges(const Graph& graph);
  void NoteDocumentation(const Graph& graph);

  const std::string title_;
  const CompileContext& context_;
  TraceTimes times_;
  std::optional<Graph> last_;
  Records last_nodes_, last_sources_;
  nlohmann::json last_graph_;
  nlohmann::json stages_ = nlohmann::json::array();
  nlohmann::json ops_ = nlohmann::json::object(), kernels_ = nlohmann::json::object();
};

}  // namespace sluice
