// The memory that this process may still take, and what it has taken.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace sluice {

struct MachineMemory {
  int64_t available = 0;   // bytes that can be had without swapping; file pages count as free
  std::string limited_by;  // "memory of the machine" or "control group /name"
};

// MemAvailable of /proc/meminfo, or what a control group of this process (version 1 or 2, up to the
// root) leaves of its limit, whichever is less. `root` stands before the paths: tests have a /proc
// and a /sys of their own. NotFound where /proc/meminfo does not say.
absl::StatusOr<MachineMemory> ReadMachineMemory(const std::string& root = "");

struct ProcessMemory {
  int64_t resident = 0;  // now: VmRSS
  int64_t peak = 0;      // the most so far: VmHWM
};
absl::StatusOr<ProcessMemory> ReadProcessMemory(const std::string& root = "",
                                                const std::string& process = "self");

}  // namespace sluice
