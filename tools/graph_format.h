// The forms in which a graph goes in and out of the tools.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "graph/graph.h"

namespace sluice::tools {

// "text", "textproto", "json" or "proto" (binary).
absl::StatusOr<std::string> Format(const Graph& graph, const std::string& format);

// Reads text, text proto, JSON or binary proto, told apart by content. `source` is for messages.
absl::StatusOr<Graph> ReadGraph(const std::string& content, const std::string& source);

}  // namespace sluice::tools
