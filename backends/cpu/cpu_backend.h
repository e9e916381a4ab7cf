// The CPU backend: oneDNN for float matrix products, own kernels for the rest, one arena for all
// activations, OpenMP threads.
#pragma once

#include <memory>

#include "backends/backend.h"

namespace sluice {

struct CpuOptions {
  int threads = 0;  // 0: one per core that this process may use
};

std::unique_ptr<Backend> MakeCpuBackend(const CpuOptions& options = {});

}  // namespace sluice
