// Instruction sets that a device has.
#pragma once

#include <algorithm>

#include "absl/types/span.h"
#include "proto/device.pb.h"

namespace sluice::cpu {

// Whether `caps` has all of the features, of which those that are null count as there.
inline bool HasFeatures(const proto::DeviceCaps& caps, absl::Span<const char* const> needs) {
  return std::all_of(needs.begin(), needs.end(), [&](const char* feature) {
    const auto& features = caps.features();
    return feature == nullptr ||
           std::find(features.begin(), features.end(), feature) != features.end();
  });
}

}  // namespace sluice::cpu
