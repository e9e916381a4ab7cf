#include "backends/cpu/layouts.h"

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice::cpu {

absl::StatusOr<std::shared_ptr<HostBuffer>> PackedWeights::Get(const CpuLayout& layout,
                                                               const TensorType& type,
                                                               const TensorView& weight,
                                                               const Threads& threads,
                                                               const PartPacked& part_packed) {
  const std::byte* data = weight.slices.empty() ? weight.data : weight.slices[0];
  std::weak_ptr<HostBuffer>& known =
      buffers_[{data, absl::StrCat(layout.record.name, " ", type.ToString())}];
  if (std::shared_ptr<HostBuffer> buffer = known.lock()) {
    part_packed({}, buffer->bytes());
    return buffer;
  }
  SLUICE_ASSIGN_OR_RETURN(std::shared_ptr<HostBuffer> buffer,
                          HostBuffer::Create(layout.record.bytes(type), HostBuffer::Pages::kLarge));
  layout.pack(weight, buffer->host(), threads, part_packed);
  known = buffer;
  return buffer;
}

}  // namespace sluice::cpu
