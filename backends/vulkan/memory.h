// Device memory: buffers with memory of their own, and the way of data into and out of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backends/vulkan/device.h"

namespace sluice::vulkan {

enum class MemoryKind : uint8_t {
  kDevice,    // where shaders read fastest; the host may or may not see it
  kUpload,    // the host writes, the device reads
  kReadback,  // the device writes, the host reads
};

class DeviceBuffer {
 public:
  // ResourceExhausted with `what` and the size if the memory cannot be had.
  static absl::StatusOr<std::unique_ptr<DeviceBuffer>> Create(const Device& device, int64_t bytes,
                                                              MemoryKind kind,
                                                              absl::string_view what);
  VkBuffer get() const { return buffer_.get(); }
  int64_t bytes() const { return bytes_; }
  // nullptr where the host does not see it. Coherent: no flushes are needed.
  std::byte* mapped() const { return mapped_; }

 private:
  DeviceBuffer() = default;

  int64_t bytes_ = 0;
  MemoryHandle memory_;  // outlives the buffer in it
  BufferHandle buffer_;
  std::byte* mapped_ = nullptr;
};

// A command buffer for work that is done once; its memory goes with it.
class OneTimeCommands {
 public:
  static absl::StatusOr<OneTimeCommands> Begin(Device& device);
  OneTimeCommands(OneTimeCommands&& other) noexcept
      : device_(other.device_), commands_(std::exchange(other.commands_, VK_NULL_HANDLE)) {}
  ~OneTimeCommands();
  VkCommandBuffer get() const { return commands_; }
  absl::Status Finish();  // submits and waits

 private:
  OneTimeCommands(Device& device, VkCommandBuffer commands)
      : device_(device), commands_(commands) {}
  Device& device_;
  VkCommandBuffer commands_;
};

// Fills, uploads and downloads, each done when the call returns.
class Transfer {
 public:
  explicit Transfer(Device& device) : device_(device) {}

  absl::Status Zero(const DeviceBuffer& buffer);
  // Data that the device does not share with the host goes through a staging buffer, piece by
  // piece.
  absl::Status Upload(absl::Span<const std::byte> data, const DeviceBuffer& buffer, int64_t offset);
  absl::Status Download(const DeviceBuffer& buffer, int64_t offset, absl::Span<std::byte> data);

 private:
  absl::Status Copy(VkBuffer from, int64_t from_offset, VkBuffer to, int64_t to_offset,
                    int64_t bytes);
  absl::StatusOr<DeviceBuffer*> Staging();

  Device& device_;
  std::unique_ptr<DeviceBuffer> staging_;  // on first use
};

// Begins a command buffer.
absl::Status BeginCommands(VkCommandBuffer commands, VkCommandBufferUsageFlags usage);

}  // namespace sluice::vulkan
