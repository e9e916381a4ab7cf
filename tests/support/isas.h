// The instruction sets that the CPU backend has code for.
#pragma once

#include <vector>

#include "backends/cpu/cpu_backend.h"

namespace sluice {

// Options that lead to each instruction set in turn; on a small machine to one of them repeatedly.
inline std::vector<CpuOptions> OptionsForAllIsas(int threads) {
  return {{.threads = threads},
          {.threads = threads, .without_features = {"avx512vnni"}},
          {.threads = threads, .without_features = {"avx512f"}},
          {.threads = threads, .without_features = {"avx512f", "avx2"}}};
}

}  // namespace sluice
