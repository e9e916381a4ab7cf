// Clients that are connected and say nothing, or do not finish.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace sluice::load {

// A connection to an http:// address; -1 if there is none.
int ConnectTo(const std::string& url);

class HeldConnections {
 public:
  explicit HeldConnections(std::string url) : url_(std::move(url)) {}
  ~HeldConnections();
  HeldConnections(const HeldConnections&) = delete;
  HeldConnections& operator=(const HeldConnections&) = delete;

  // Opens so many more; four of five say nothing, the fifth sends half a head. Unavailable: one
  // could not be had, for lack of files (`ulimit -n`), say.
  absl::Status Open(int64_t count);
  // Opens those anew that the server has closed, as it should after a while.
  absl::Status Renew();

  int64_t renewed() const { return renewed_; }

 private:
  const std::string url_;
  std::vector<int> sockets_;
  int64_t renewed_ = 0;
};

}  // namespace sluice::load
