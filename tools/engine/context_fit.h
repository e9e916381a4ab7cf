// How long a context fits into memory, for those who keep one as long as it can be.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "backends/backend.h"
#include "models/model.h"
#include "runtime/machine_memory.h"

namespace sluice::tools {

struct ContextFit {
  int64_t context = 0;      // tokens of each sequence
  int64_t own = 0;          // what the model would take
  int64_t cache_bytes = 0;  // of all sequences, when they are full
  std::string limited_by;   // the memory that would not hold more; "": nothing
};

// What weights and caches of a backend share: the device's memory, or what this machine has left.
absl::StatusOr<MachineMemory> MemoryOf(const Backend& backend);

// The longest context, up to the model's own, with which the caches of options.max_seqs sequences
// take at most half of what the weights and a step leave of `memory`: the other half is left to
// packed weights and to other programs. At least `least`, or the model's own if that is less.
absl::StatusOr<ContextFit> FitContext(const Model& model, DecoderOptions options,
                                      const MachineMemory& memory, int64_t least);

}  // namespace sluice::tools
