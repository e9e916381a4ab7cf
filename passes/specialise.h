// The sizes of step that executables are made for.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/type.h"

namespace sluice {

// Rising numbers of tokens, the last one max_tokens. A step runs in the first bucket that is large
// enough for it.
std::vector<int64_t> DefaultTokenBuckets(int64_t max_tokens);

// The bounds of a decoder's symbols in a step of at most `tokens` tokens, of which at most
// `max_outputs` want logits (CompileContext::bucket).
SymbolValues BucketBounds(int64_t tokens, int64_t max_outputs);

}  // namespace sluice
