// Random applications of any op, made from nothing but its record: new ops need no change here.
#pragma once

#include "graph/op_def.h"
#include "tests/support/graph_composer.h"

namespace sluice {

// Adds a node of `op` with random attributes and operands that fit. False if none was found in a
// number of attempts.
bool AddNode(GraphComposer& composer, const OpDef& op);

// A second node like an existing one; an attribute may differ.
void AddTwin(GraphComposer& composer);

}  // namespace sluice
