// Measured times of nodes, from a trace in Chrome's format.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

struct MeasuredTime {
  double microseconds = 0;  // of a run: the median
  int64_t runs = 0;
};

using NodeTimes = std::map<std::string, MeasuredTime>;  // by the node's name

// Of the nodes of one graph.
struct TraceTimes {
  std::string phase;   // "prefill" or "decode"
  int64_t bucket = 0;  // tokens that the graph was compiled for
  NodeTimes nodes;
};

// The times of steps whose graph was compiled for up to `bucket` tokens, in one phase: decode where
// there are such, else prefill. They are the complete events ("ph": "X") of a trace in the JSON
// object format of the "Trace Event Format" document that have a phase and a bucket among their
// arguments, as ChromeTrace writes them; `name` is the node's. InvalidArgument, with `source`
// named, for anything that is no such file; NotFound, with what there is, if no such step is in it.
absl::StatusOr<TraceTimes> ReadTrace(const std::string& content, absl::string_view source,
                                     int64_t bucket);

}  // namespace sluice
