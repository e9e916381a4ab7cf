// The reference backend: every op's own evaluation, in order, slow and plain. It is the oracle that
// passes, kernels and other backends are compared with.
#pragma once

#include <memory>

#include "backends/backend.h"

namespace sluice {

struct RefOptions {
  // Rounds the activations of products whose weights have a layout, as the kernels that read such
  // weights do (round_activations.h): for comparisons that look for errors, not for roundings.
  bool round_activations = false;
};

std::unique_ptr<Backend> MakeRefBackend(const RefOptions& options = {});

}  // namespace sluice
