// Graphs from files, in any of the forms that hold a whole graph.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "graph/graph.h"

namespace sluice {

// Reads graph text, text proto, JSON or binary proto (proto/graph.proto), told apart by how the
// content begins, and verifies. Errors: "SOURCE:LINE:COLUMN: ..." for what is no such text,
// "SOURCE: nodes[3]: ..." for what is no such graph; of bytes that no form can begin with, only
// that.
absl::StatusOr<Graph> ReadGraph(const std::string& content, const std::string& source);

}  // namespace sluice
