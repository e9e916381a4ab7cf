// The default model, carried inside the program: see README.md in this folder.
#pragma once

#include <cstddef>

#include "absl/types/span.h"

namespace sluice {

// The bytes of stories-moe-q4_k_m.gguf, a complete GGUF file. They lie in read-only memory, start
// on a 64-byte boundary, and live as long as the program.
absl::Span<const std::byte> EmbeddedModel();

}  // namespace sluice
