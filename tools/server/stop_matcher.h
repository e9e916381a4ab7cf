// Text that grows, cut off where a stop string is complete, and given out as soon as it is certain
// to be in front of every stop string.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice::server {

class StopMatcher {
 public:
  // Stop strings are not empty.
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Returns what can be given out now. Of stop strings the one that is complete first counts, of
  // several that end at the same byte the longest: how the text is cut into pieces makes no
  // difference.
  std::string Push(absl::string_view text);
  // The rest, once nothing more will come; "" if stopped.
  std::string Finish();

  bool stopped() const { return stopped_; }

 private:
  size_t LongestStopAtEnd() const;
  size_t LongestBeginningAtEnd() const;

  const std::vector<std::string> stops_;
  std::string held_;  // a beginning of a stop string
  bool stopped_ = false;
};

}  // namespace sluice::server
