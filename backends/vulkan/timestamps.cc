#include "backends/vulkan/timestamps.h"

#include "graph/status_macros.h"

namespace sluice::vulkan {

absl::StatusOr<Timestamps> Timestamps::Create(const Device& device, uint32_t count) {
  if (device.info().timestamp_bits == 0) {
    return absl::UnimplementedError(
        absl::StrCat("the queue of '", device.info().name, "' has no clock"));
  }
  Timestamps result(device, count);
  const VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                      .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                      .queryCount = count};
  VkQueryPool pool = VK_NULL_HANDLE;
  SLUICE_RETURN_IF_ERROR(Check(vkCreateQueryPool(device.get(), &info, nullptr, &pool),
                               "cannot make ", count, " timestamps"));
  result.pool_ = {device.get(), pool};
  return result;
}

void Timestamps::RecordReset(VkCommandBuffer into) const {
  vkCmdResetQueryPool(into, pool_.get(), 0, static_cast<uint32_t>(ticks_.size()));
}

void Timestamps::Record(uint32_t i, VkCommandBuffer into) const {
  vkCmdWriteTimestamp2(into, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, pool_.get(), i);
}

absl::StatusOr<absl::Span<const double>> Timestamps::Intervals() {
  SLUICE_RETURN_IF_ERROR(Check(
      vkGetQueryPoolResults(device_->get(), pool_.get(), 0, static_cast<uint32_t>(ticks_.size()),
                            ticks_.size() * sizeof(uint64_t), ticks_.data(), sizeof(uint64_t),
                            VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
      "cannot read timestamps"));
  // The clock wraps where its bits end.
  const uint64_t mask = ~uint64_t{0} >> (64 - device_->info().timestamp_bits);
  for (size_t i = 0; i < seconds_.size(); ++i) {
    const uint64_t ticks = (ticks_[i + 1] - ticks_[i]) & mask;
    seconds_[i] = static_cast<double>(ticks) * device_->info().timestamp_seconds;
  }
  return seconds_;
}

}  // namespace sluice::vulkan
