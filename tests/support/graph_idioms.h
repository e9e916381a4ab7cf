// What models consist of and fusions look for, in many spellings, and now and then spoilt in one
// place: an inner value with a second user, operands that do not belong together, an attribute that
// differs.
#pragma once

#include "tests/support/graph_composer.h"

namespace sluice {

// Each takes the residual stream, f32[tokens,hidden], and returns another value of that type.
using Idiom = Value* (*)(GraphComposer& composer, Value* x);

Value* AttentionBlock(GraphComposer& composer, Value* x);
Value* FeedForwardBlock(GraphComposer& composer, Value* x);
Value* ExpertBlock(GraphComposer& composer, Value* x);
// Scales, casts and shapes that undo each other, parts and their joins.
Value* Chain(GraphComposer& composer, Value* x);
// An embedding or the last rows of a model, or a value computed from weights alone, added to x.
Value* Side(GraphComposer& composer, Value* x);

// x = x + block(norm(x)), with the sum's next norm left to the next block.
Value* Residual(GraphComposer& composer, Value* x, Idiom block);

}  // namespace sluice
