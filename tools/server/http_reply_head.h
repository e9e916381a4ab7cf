// The head of a reply. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice::server {

struct HttpReplyHead {
  int status = 200;
  int minor_version = 1;         // that the client speaks
  std::optional<size_t> length;  // of the body; none: it is a stream
  bool keeps_alive = false;      // what follows the reply may be another one
  int64_t idle_seconds = 0;      // of a connection that stays, until it is closed
  // In this order. What a field cannot have becomes a question mark.
  std::vector<std::pair<std::string, std::string>> fields;

  // `time` in seconds since 1970.
  std::string Text(int64_t time) const;
};

// Part of a stream that is sent in chunks, which is not empty; and its end.
std::string Chunk(absl::string_view bytes);
inline constexpr absl::string_view kLastChunk = "0\r\n\r\n";

}  // namespace sluice::server
