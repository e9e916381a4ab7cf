// The protobuf form of a graph (proto/graph.proto): for tools. Loading checks as much as parsing.
#pragma once

#include "absl/status/statusor.h"
#include "graph/graph.h"
#include "proto/graph.pb.h"

namespace sluice {

proto::Graph ToProto(const Graph& graph);

// Builds and verifies. Errors name the node and its index ("nodes[3]: %l0.q: ...") or the field,
// and say what was expected.
absl::StatusOr<Graph> FromProto(const proto::Graph& message,
                                const OpRegistry* registry = &StandardOps());

}  // namespace sluice
