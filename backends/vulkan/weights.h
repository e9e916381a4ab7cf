// Weights on the device, shared by the executables that use them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backends/vulkan/memory.h"
#include "graph/graph.h"
#include "graph/tensor.h"

namespace sluice::vulkan {

// A weight's bytes within a chunk, which goes with the last of its weights.
struct DeviceWeight {
  std::shared_ptr<const DeviceBuffer> chunk;
  int64_t offset = 0;
  int64_t bytes = 0;
};
using SharedWeight = std::shared_ptr<const DeviceWeight>;

// Not thread-safe.
class WeightStore {
 public:
  WeightStore(const Device& device, Transfer* transfer) : device_(device), transfer_(*transfer) {}

  // The graph's weights, whose data are `views`, in the formats of StoredAs: those that are there
  // already, and the others uploaded now, in chunks of many. ResourceExhausted names the size.
  absl::StatusOr<std::vector<SharedWeight>> Get(const Graph& graph,
                                                absl::Span<const TensorView> views);

 private:
  absl::Status Upload(const TensorView& view, const DeviceWeight& weight);
  absl::Status UploadDecoded(DType dtype, absl::Span<const std::byte> data, int64_t row_elements,
                             const DeviceBuffer& chunk, int64_t offset);

  const Device& device_;
  Transfer& transfer_;
  // By the address of the data, which stays mapped as long as an executable uses it, and by type,
  // since a file may show the same bytes as two weights.
  std::map<std::pair<const std::byte*, std::string>, std::weak_ptr<const DeviceWeight>> known_;
};

// Bytes of a weight on the device.
int64_t StoredBytes(const TensorView& view);

}  // namespace sluice::vulkan
