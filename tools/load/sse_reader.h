// Server-sent events as they come in over the wire, in pieces of any size.
#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace sluice::load {

// Of each event only its data counts (HTML Living Standard, 9.2.6); lines end with \n or \r\n.
class SseReader {
 public:
  // Calls `on_event` with the data of every event that `bytes` completes; false from it ends the
  // call.
  bool Feed(absl::string_view bytes, absl::FunctionRef<bool(absl::string_view data)> on_event);

 private:
  void TakeLine(absl::string_view line);

  std::string line_;  // what has come of it
  std::string data_;  // of the event so far
  bool has_data_ = false;
};

}  // namespace sluice::load
