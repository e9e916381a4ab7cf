#include "tools/server/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace sluice::server {

size_t StopMatcher::LongestStopAtEnd() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    if (absl::EndsWith(held_, stop)) longest = std::max(longest, stop.size());
  }
  return longest;
}

size_t StopMatcher::LongestBeginningAtEnd() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (size_t size = std::min(stop.size() - 1, held_.size()); size > longest; --size) {
      if (absl::EndsWith(held_, absl::string_view(stop).substr(0, size))) longest = size;
    }
  }
  return longest;
}

std::string StopMatcher::Push(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (stopped_) break;
    held_ += c;
    const size_t stop = LongestStopAtEnd();
    stopped_ = stop > 0;
    const size_t kept = stopped_ ? stop : LongestBeginningAtEnd();
    out.append(held_, 0, held_.size() - kept);
    held_.erase(0, held_.size() - kept);
  }
  return out;
}

std::string StopMatcher::Finish() { return stopped_ ? "" : std::exchange(held_, ""); }

}  // namespace sluice::server
