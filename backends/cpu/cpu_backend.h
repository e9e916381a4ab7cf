// The CPU backend: oneDNN for float matrix products, own kernels for the rest, one arena for all
// activations, OpenMP threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/backend.h"

namespace sluice {

struct CpuOptions {
  int threads = 0;  // 0: one per core that this process may use
  // Instruction sets of DeviceCaps::features to do without, e.g. to compare them.
  std::vector<std::string> without_features;
};

std::unique_ptr<Backend> MakeCpuBackend(const CpuOptions& options = {});

}  // namespace sluice
