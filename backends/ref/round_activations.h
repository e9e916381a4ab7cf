// Activations as products with 8-bit ones take them.
#pragma once

#include <cstdint>

namespace sluice {

// Rounds each run of 32 numbers to multiples of its largest magnitude over 127, half to even, as
// backends do before a product with a weight in the layout x16. `n` is a multiple of 32.
void RoundActivations(float* x, int64_t n);

}  // namespace sluice
