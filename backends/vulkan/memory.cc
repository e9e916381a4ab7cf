#include "backends/vulkan/memory.h"

#include <algorithm>
#include <cstring>

#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

constexpr int64_t kStagingBytes = 16 << 20;
constexpr VkMemoryPropertyFlags kHost =
    VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;

struct Wish {
  VkMemoryPropertyFlags wanted, preferred;
};
Wish WishFor(MemoryKind kind) {
  switch (kind) {
    case MemoryKind::kDevice:
      return {.wanted = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, .preferred = 0};
    case MemoryKind::kUpload:
      return {.wanted = kHost, .preferred = 0};
    case MemoryKind::kReadback:
      return {.wanted = kHost, .preferred = VK_MEMORY_PROPERTY_HOST_CACHED_BIT};
  }
  return {};
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceBuffer>> DeviceBuffer::Create(const Device& device,
                                                                   int64_t bytes, MemoryKind kind,
                                                                   absl::string_view what) {
  std::unique_ptr<DeviceBuffer> result(new DeviceBuffer());
  result->bytes_ = bytes;
  const VkBufferCreateInfo buffer_info = {
      .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
      // Whole words, as fills want them; no buffer is empty.
      .size = static_cast<VkDeviceSize>(std::max<int64_t>((bytes + 3) / 4 * 4, 4)),
      .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
               VK_BUFFER_USAGE_TRANSFER_DST_BIT};
  VkBuffer buffer = VK_NULL_HANDLE;
  SLUICE_RETURN_IF_ERROR(Check(vkCreateBuffer(device.get(), &buffer_info, nullptr, &buffer), what,
                               ": a buffer of ", bytes, " bytes on '", device.info().name, "'"));
  result->buffer_ = {device.get(), buffer};
  VkMemoryRequirements needs;
  vkGetBufferMemoryRequirements(device.get(), buffer, &needs);
  const Wish wish = WishFor(kind);
  SLUICE_ASSIGN_OR_RETURN(const uint32_t type,
                          device.MemoryType(needs.memoryTypeBits, wish.wanted, wish.preferred));
  const VkMemoryAllocateInfo memory_info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                            .allocationSize = needs.size,
                                            .memoryTypeIndex = type};
  VkDeviceMemory memory = VK_NULL_HANDLE;
  SLUICE_RETURN_IF_ERROR(Check(vkAllocateMemory(device.get(), &memory_info, nullptr, &memory), what,
                               ": ", needs.size, " bytes of memory on '", device.info().name, "'"));
  result->memory_ = {device.get(), memory};
  SLUICE_RETURN_IF_ERROR(
      Check(vkBindBufferMemory(device.get(), buffer, memory, 0), what, ": binding its memory"));
  if ((device.MemoryFlags(type) & kHost) == kHost) {
    void* mapped = nullptr;
    SLUICE_RETURN_IF_ERROR(Check(vkMapMemory(device.get(), memory, 0, VK_WHOLE_SIZE, 0, &mapped),
                                 what, ": mapping ", bytes, " bytes"));
    result->mapped_ = static_cast<std::byte*>(mapped);
  }
  return result;
}

absl::Status BeginCommands(VkCommandBuffer commands, VkCommandBufferUsageFlags usage) {
  const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                         .flags = usage};
  return Check(vkBeginCommandBuffer(commands, &info), "cannot begin a command buffer");
}

absl::StatusOr<OneTimeCommands> OneTimeCommands::Begin(Device& device) {
  SLUICE_ASSIGN_OR_RETURN(const VkCommandBuffer commands, device.NewCommands());
  OneTimeCommands result(device, commands);
  SLUICE_RETURN_IF_ERROR(BeginCommands(commands, VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT));
  return result;
}

OneTimeCommands::~OneTimeCommands() {
  if (commands_ != VK_NULL_HANDLE) device_.Free(commands_);
}

absl::Status OneTimeCommands::Finish() {
  SLUICE_RETURN_IF_ERROR(Check(vkEndCommandBuffer(commands_), "cannot end a command buffer"));
  SLUICE_ASSIGN_OR_RETURN(const uint64_t point, device_.Submit(commands_));
  return device_.Wait(point);
}

absl::Status Transfer::Zero(const DeviceBuffer& buffer) {
  SLUICE_ASSIGN_OR_RETURN(OneTimeCommands commands, OneTimeCommands::Begin(device_));
  vkCmdFillBuffer(commands.get(), buffer.get(), 0, VK_WHOLE_SIZE, 0);
  return commands.Finish();
}

absl::Status Transfer::Copy(VkBuffer from, int64_t from_offset, VkBuffer to, int64_t to_offset,
                            int64_t bytes) {
  SLUICE_ASSIGN_OR_RETURN(OneTimeCommands commands, OneTimeCommands::Begin(device_));
  const VkBufferCopy region = {.srcOffset = static_cast<VkDeviceSize>(from_offset),
                               .dstOffset = static_cast<VkDeviceSize>(to_offset),
                               .size = static_cast<VkDeviceSize>(bytes)};
  vkCmdCopyBuffer(commands.get(), from, to, 1, &region);
  return commands.Finish();
}

absl::StatusOr<DeviceBuffer*> Transfer::Staging() {
  if (staging_ == nullptr) {
    SLUICE_ASSIGN_OR_RETURN(
        staging_, DeviceBuffer::Create(device_, kStagingBytes, MemoryKind::kReadback, "staging"));
  }
  return staging_.get();
}

absl::Status Transfer::Upload(absl::Span<const std::byte> data, const DeviceBuffer& buffer,
                              int64_t offset) {
  if (data.empty()) return absl::OkStatus();
  if (buffer.mapped() != nullptr) {
    std::memcpy(buffer.mapped() + offset, data.data(), data.size());
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(DeviceBuffer * staging, Staging());
  while (!data.empty()) {
    const auto piece = data.subspan(0, static_cast<size_t>(kStagingBytes));
    std::memcpy(staging->mapped(), piece.data(), piece.size());
    const auto bytes = static_cast<int64_t>(piece.size());
    SLUICE_RETURN_IF_ERROR(Copy(staging->get(), 0, buffer.get(), offset, bytes));
    offset += bytes;
    data.remove_prefix(piece.size());
  }
  return absl::OkStatus();
}

absl::Status Transfer::Download(const DeviceBuffer& buffer, int64_t offset,
                                absl::Span<std::byte> data) {
  if (data.empty()) return absl::OkStatus();
  if (buffer.mapped() != nullptr) {
    std::memcpy(data.data(), buffer.mapped() + offset, data.size());
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(DeviceBuffer * staging, Staging());
  while (!data.empty()) {
    const auto piece = data.subspan(0, static_cast<size_t>(kStagingBytes));
    const auto bytes = static_cast<int64_t>(piece.size());
    SLUICE_RETURN_IF_ERROR(Copy(buffer.get(), offset, staging->get(), 0, bytes));
    std::memcpy(piece.data(), staging->mapped(), piece.size());
    offset += bytes;
    data.remove_prefix(piece.size());
  }
  return absl::OkStatus();
}

}  // namespace sluice::vulkan
