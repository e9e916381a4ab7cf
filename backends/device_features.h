// Features of DeviceCaps that others than a backend's own kernels ask for.
#pragma once

#include <algorithm>

#include "absl/strings/string_view.h"
#include "proto/device.pb.h"

namespace sluice {

// Its memory is not the host's: what the host reads of a step is copied to it, so that small
// outputs are faster, and how fast memory is only the device itself can measure.
inline constexpr absl::string_view kOwnMemory = "own_memory";

inline bool HasFeature(const proto::DeviceCaps& caps, absl::string_view feature) {
  return std::find(caps.features().begin(), caps.features().end(), feature) !=
         caps.features().end();
}

}  // namespace sluice
