// What the graph fuzzers require of every graph that was read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph/graph.h"

namespace sluice {

// Aborts with a message unless the graph obeys the verifier and is the same after a round trip
// through text, through proto and through Clone().
void RequireSound(const Graph& graph);

}  // namespace sluice
