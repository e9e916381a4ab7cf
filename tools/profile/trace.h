// A profile as a trace for Chrome's and Perfetto's viewers.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "tools/profile/profile.h"

namespace sluice {

// The JSON object format of the "Trace Event Format" document: one complete event ("ph": "X") per
// node and step on thread 1, named after the node, with its op as category and op, kernel, origin,
// the step's phase, sample, bucket, number and tokens, flops and bytes as arguments; one per step
// on thread 0, with its phase as category; and metadata events that name process and threads. Times
// are in microseconds.
std::string ChromeTrace(const Profile& profile, absl::string_view title);

}  // namespace sluice
