// Graphs from files and to files, in the forms that hold a whole graph.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graph/graph.h"

namespace sluice {

// Reads graph text, text proto, JSON or binary proto (proto/graph.proto), told apart by how the
// content begins, and verifies. Errors: "SOURCE:LINE:COLUMN: ..." for what is no such text,
// "SOURCE: nodes[3]: ..." for what is no such graph; of bytes that no form can begin with, only
// that.
absl::StatusOr<Graph> ReadGraph(const std::string& content, const std::string& source);

// The forms that hold a whole graph: ReadGraph gives the same one again, to the last bit.
inline constexpr absl::string_view kWholeForms[] = {"text", "textproto", "json", "proto"};

// In one of these forms. NotFound for others.
absl::StatusOr<std::string> WriteGraph(const Graph& graph, absl::string_view form);

}  // namespace sluice
