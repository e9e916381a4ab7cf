// Layouts of weights that the CPU's kernels can read, and the store of weights that are in one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backends/cpu/threads.h"
#include "backends/host_buffer.h"
#include "backends/kernel.h"
#include "graph/tensor.h"

namespace sluice::cpu {

// Called with a part of the weight's data that has been packed and the bytes that it became.
using PartPacked = std::function<void(absl::Span<const std::byte> part, int64_t bytes)>;

struct CpuLayout {
  WeightLayout record;
  // Writes record.bytes(type) bytes. `weight` may be in pieces; `out` is aligned to 64 bytes.
  void (*pack)(const TensorView& weight, std::byte* out, const Threads& threads,
               const PartPacked& part_packed);
};

void AddLayouts(std::vector<CpuLayout>* layouts);

// Weights in a layout, kept as long as an executable uses them: two executables of one model share
// them. Not thread-safe.
class PackedWeights {
 public:
  // The weight, packed now if it is not there yet. `type` is the whole weight's, `weight` its data.
  // For one that is there `part_packed` is called once, without a part.
  absl::StatusOr<std::shared_ptr<HostBuffer>> Get(const CpuLayout& layout, const TensorType& type,
                                                  const TensorView& weight, const Threads& threads,
                                                  const PartPacked& part_packed);

 private:
  // By the address of the data, which stays mapped as long as the buffer is used, and by layout and
  // type, since a file may show the same bytes as two weights.
  std::map<std::pair<const std::byte*, std::string>, std::weak_ptr<HostBuffer>> buffers_;
};

}  // namespace sluice::cpu
