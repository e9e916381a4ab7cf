#include "models/embedded/embedded_model.h"

#include <cstdint>

// Defined in embedded_model.S, by names that C and the assembler share.
// NOLINTBEGIN(readability-identifier-naming)
extern "C" {
extern const std::byte sluice_embedded_model_data[];
extern const uint64_t sluice_embedded_model_size;
}
// NOLINTEND(readability-identifier-naming)

namespace sluice {

absl::Span<const std::byte> EmbeddedModel() {
  return {sluice_embedded_model_data, static_cast<size_t>(sluice_embedded_model_size)};
}

}  // namespace sluice
