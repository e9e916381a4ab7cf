// What this machine can do at most: the figures that speeds are held against.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/op_def.h"
#include "proto/device.pb.h"

namespace sluice {

// What multiplications are made of. Units of a processor do several times as many of one kind as of
// another, so a speed says something only beside the most of its own kind.
enum class Arithmetic : uint8_t { kF32, kBf16, kInt8 };
inline constexpr size_t kArithmeticCount = static_cast<size_t>(Arithmetic::kInt8) + 1;

// Bytes a second, read and written together, of work that goes over so many bytes again and again.
struct TransferRate {
  int64_t bytes = 0;  // of all threads together
  double bytes_per_second = 0;
};

struct Ceiling {
  std::string device;  // empty: this machine's processors
  int threads = 0;
  // By rising number of bytes, from what the first cache holds to what only memory does.
  std::vector<TransferRate> transfers = {};
  // By Arithmetic, two operations for a multiply-add; 0: not known.
  std::array<double, kArithmeticCount> operations_per_second = {};

  // Of work on so many different bytes: the rate of the largest number of bytes that is not above
  // it, because fewer bytes may be nearer, but not further away. 0 if nothing was measured.
  double BytesPerSecond(double bytes) const;
  // Beyond all caches.
  double MemoryBytesPerSecond() const;
};

absl::string_view Name(Arithmetic arithmetic);  // "f32", "bf16", "int8"

// The seconds that it takes at the ceilings; 0 where they are not known.
double TransferSeconds(const Ceiling& ceiling, const OpCost& cost);
double ComputeSeconds(const Ceiling& ceiling, const OpCost& cost, Arithmetic arithmetic);

// On each number of threads. Integer products are those of the instruction set that the CPU backend
// chooses for `caps`. Takes 0.4 s a number, and the best of several short runs each: on a busy or
// shared machine even these are lower. Empty if there is no memory for the buffer.
std::vector<Ceiling> MeasureCeilings(const proto::DeviceCaps& caps,
                                     absl::Span<const int> thread_counts);

}  // namespace sluice
