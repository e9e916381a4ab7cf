// The CPU backend: own kernels per instruction set, oneDNN for float matrix products, one arena for
// all activations, one pool of threads for all executables.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/backend.h"

namespace sluice {

// Some of a weight is in a layout of its own now.
struct PackEvent {
  absl::Span<const std::byte> part;  // as in the file, no longer read; empty: packed before
  int64_t done, total;               // bytes in layouts, of those that the executable will have
};

struct CpuOptions {
  int threads = 0;  // 0: one per core that this process may use
  // Instruction sets of DeviceCaps::features to do without, e.g. to compare them.
  std::vector<std::string> without_features;
  std::function<void(const PackEvent&)> on_packed;  // may be null
};

std::unique_ptr<Backend> MakeCpuBackend(const CpuOptions& options = {});

}  // namespace sluice
