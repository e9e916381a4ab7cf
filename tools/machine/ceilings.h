// What this machine can do at most: the two figures that speeds are compared with.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

struct Ceiling {
  std::string device;  // empty: this machine's processors
  int threads = 0;
  double read_bytes_per_second = 0;  // of a buffer beyond the caches, in 4 KiB pages
  double flops_per_second = 0;       // f32 multiply-adds, two operations each, widest vectors
};

// Reads a buffer several times and runs multiply-adds in registers, on each number of threads, and
// takes medians: about 0.3 s for two numbers. On a busy or shared machine the figures are lower.
// Empty if there is no memory for the buffer.
std::vector<Ceiling> MeasureCeilings(absl::Span<const int> thread_counts);

}  // namespace sluice
