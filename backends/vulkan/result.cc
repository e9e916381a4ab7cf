#include "backends/vulkan/result.h"

namespace sluice::vulkan {
namespace {

struct Meaning {
  VkResult result;
  absl::StatusCode code;
  absl::string_view text;
};

constexpr Meaning kMeanings[] = {
    {VK_ERROR_OUT_OF_HOST_MEMORY, absl::StatusCode::kResourceExhausted, "the host has no memory"},
    {VK_ERROR_OUT_OF_DEVICE_MEMORY, absl::StatusCode::kResourceExhausted,
     "the device has no memory"},
    {VK_ERROR_OUT_OF_POOL_MEMORY, absl::StatusCode::kResourceExhausted, "the pool is full"},
    {VK_ERROR_TOO_MANY_OBJECTS, absl::StatusCode::kResourceExhausted, "too many objects"},
    {VK_ERROR_DEVICE_LOST, absl::StatusCode::kUnavailable, "the device is lost"},
    {VK_ERROR_INITIALIZATION_FAILED, absl::StatusCode::kUnavailable, "the driver did not start"},
    {VK_TIMEOUT, absl::StatusCode::kDeadlineExceeded, "it takes too long"},
    {VK_ERROR_INCOMPATIBLE_DRIVER, absl::StatusCode::kUnimplemented, "no driver for it"},
    {VK_ERROR_LAYER_NOT_PRESENT, absl::StatusCode::kUnimplemented, "the layer is not there"},
    {VK_ERROR_EXTENSION_NOT_PRESENT, absl::StatusCode::kUnimplemented,
     "the extension is not there"},
    {VK_ERROR_FEATURE_NOT_PRESENT, absl::StatusCode::kUnimplemented, "the feature is not there"},
};

}  // namespace

absl::Status ResultStatus(VkResult result, absl::string_view what) {
  for (const Meaning& meaning : kMeanings) {
    if (meaning.result != result) continue;
    return absl::Status(meaning.code, absl::StrCat(what, ": ", meaning.text));
  }
  return absl::InternalError(absl::StrCat(what, ": VkResult ", static_cast<int>(result)));
}

}  // namespace sluice::vulkan
