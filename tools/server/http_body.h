// The body of a request by RFC 9112, 6 and 7: of a length, or in chunks. Pure, and fuzzed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "tools/server/http_head.h"
#include "tools/server/http_line.h"
#include "tools/server/http_refusal.h"

namespace sluice::server {

// Bytes of sizes, extensions and trailers, which mean nothing here, beyond one byte for each of
// the body.
inline constexpr size_t kMostChunkOverhead = 64 << 10;

class HttpBodyReader {
 public:
  enum class State { kOpen, kWhole, kRefused };

  // The body that `head` tells of, of at most `most_bytes`.
  HttpBodyReader(const HttpHead& head, uint64_t most_bytes);

  // Takes bytes from the front of `bytes` up to the end of the body, and appends what they hold.
  State Take(absl::string_view* bytes, std::string* body);
  const Refusal& refusal() const { return refusal_; }

 private:
  enum class Part { kData, kDataEnd, kSize, kTrailers };

  State Refuse(Refusal refusal);
  State TakeLine();
  // Of a chunk.
  State BeginData(absl::string_view line);

  const uint64_t most_bytes_;
  const bool is_chunked_;
  State state_ = State::kOpen;
  Part part_;
  uint64_t left_ = 0;   // of the data
  uint64_t total_ = 0;  // of all data that was announced
  size_t overhead_ = 0;
  HttpLine line_;
  Refusal refusal_;
};

}  // namespace sluice::server
