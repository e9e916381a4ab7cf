// The Vulkan device: what there is, which one is chosen, and the queue that work goes to.
#pragma once

#include <vulkan/vulkan.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backends/vulkan/cooperative_matrix.h"
#include "backends/vulkan/result.h"

namespace sluice::vulkan {

// A device as `sluice devices` shows it.
struct DeviceInfo {
  std::string name;
  std::string type;               // "discrete", "integrated", "virtual", "cpu", "other"
  std::string driver;             // with its version
  std::string api;                // "1.3.230"
  int64_t memory_bytes = 0;       // of the largest heap on the device
  int64_t max_binding_bytes = 0;  // of what one binding of a shader can span
  int64_t max_allocation_bytes = 0;
  int64_t shared_bytes = 0;  // of a workgroup
  uint32_t subgroup_size = 0;
  uint32_t max_groups = 0;            // of a dispatch, per dimension
  MatrixShape matrix;                 // that subgroups multiply, float16 with sums in float32
  uint32_t timestamp_bits = 0;        // of the queue's clock; 0: it has none
  double timestamp_seconds = 0;       // of one tick
  std::vector<std::string> features;  // optional ones that it has: "float16", "int8", ...
  std::string unusable;               // empty, or what it lacks
};

// Hears what validation layers say.
using OnMessage = std::function<void(const std::string& message)>;

struct DeviceOptions {
  int index = -1;         // of ListDevices; -1: the first usable one, discrete before others
  bool validate = false;  // with the Khronos layer, synchronisation included
  int64_t max_binding_bytes = 0;  // that one binding may span; 0: as many as the device can
  OnMessage on_message = nullptr;
  bool cooperative_matrix = true;  // to be used where the device has it
};

// In the driver's order. Unimplemented where there is no driver at all.
absl::StatusOr<std::vector<DeviceInfo>> ListDevices();

// Owns the instance, the device and the timeline of its one queue. Not thread-safe.
class Device {
 public:
  // Errors say what is missing, and of which device.
  static absl::StatusOr<std::unique_ptr<Device>> Create(const DeviceOptions& options);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const DeviceInfo& info() const { return info_; }
  VkDevice get() const { return device_; }

  // The first type of memory in `allowed` with all of `wanted`, one that has `preferred`, too, if
  // there is one. NotFound if there is none.
  absl::StatusOr<uint32_t> MemoryType(uint32_t allowed, VkMemoryPropertyFlags wanted,
                                      VkMemoryPropertyFlags preferred) const;
  VkMemoryPropertyFlags MemoryFlags(uint32_t type) const;

  absl::StatusOr<VkCommandBuffer> NewCommands() const;
  void Free(VkCommandBuffer commands) const;

  // Starts the commands. What is submitted later waits for nothing by itself. The number is the
  // point in time at which they are done.
  absl::StatusOr<uint64_t> Submit(VkCommandBuffer commands);
  absl::Status Wait(uint64_t point) const;

 private:
  Device() = default;
  absl::Status Initialise(const DeviceOptions& options);
  absl::Status CreateInstance(const DeviceOptions& options);
  absl::Status Select(int index);
  void LeaveMatricesAlone();
  absl::Status CreateDevice();

  VkInstance instance_ = VK_NULL_HANDLE;
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  OnMessage on_message_;
  VkPhysicalDevice physical_ = VK_NULL_HANDLE;
  VkPhysicalDeviceMemoryProperties memory_ = {};
  DeviceInfo info_;
  VkDevice device_ = VK_NULL_HANDLE;
  uint32_t family_ = 0;
  VkQueue queue_ = VK_NULL_HANDLE;
  CommandPoolHandle pool_;
  SemaphoreHandle timeline_;
  uint64_t last_point_ = 0;
};

}  // namespace sluice::vulkan
