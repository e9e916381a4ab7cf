// Measured times of nodes, from a trace in Chrome's format.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

struct MeasuredTime {
  double microseconds = 0;  // of all runs together
  int64_t runs = 0;
};

using NodeTimes = std::map<std::string, MeasuredTime>;  // by the node's name

// The complete events ("ph": "X") of a trace in the JSON object format of the "Trace Event Format"
// document, `name` being the node's. InvalidArgument, with `source` named, for anything that is no
// such file.
absl::StatusOr<NodeTimes> ReadTrace(const std::string& content, absl::string_view source);

}  // namespace sluice
