// The head of a request by RFC 9112 and 9110, read strictly: what two programs could read in two
// ways is refused. Pure, and fuzzed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tools/server/http_line.h"
#include "tools/server/http_refusal.h"

namespace sluice::server {

inline constexpr size_t kMostHeadBytes = 32 << 10;
inline constexpr size_t kMostTargetLine = 8 << 10;  // of these, bytes of the request line
inline constexpr size_t kMostFields = 128;

// "localhost:8080": whom a client thinks that it talks to.
struct HttpAuthority {
  std::string host;  // lower case; an IPv6 address in brackets
  std::string port;  // digits, or ""

  // None if it is malformed, or names nobody.
  static std::optional<HttpAuthority> Parse(absl::string_view text);
};

struct HttpHead {
  struct Field {
    std::string name;  // lower case
    std::string value;
  };

  std::string method;
  std::string path;  // percent-decoded, without the query; "*" of the server as a whole
  int minor_version = 1;
  std::vector<Field> fields;

  // What the fields say.
  std::optional<HttpAuthority> authority;  // missing in HTTP/1.0 at most
  std::optional<uint64_t> length;          // of the body, if it says; UINT64_MAX: that or more
  bool is_chunked = false;
  bool expects_continue = false;
  bool keeps_alive = false;

  bool has_body() const { return is_chunked || length.value_or(0) > 0; }
  // The first field of that name (in lower case); "" if there is none.
  absl::string_view Find(absl::string_view name) const;
  bool Has(absl::string_view name) const;
};

class HttpHeadReader {
 public:
  enum class State {
    kBlank,  // nothing has come
    kOpen,
    kWhole,
    kRefused,
  };

  // Takes bytes from the front of `bytes` up to the end of the head. What it gives does not depend
  // on how the bytes are cut into pieces.
  State Take(absl::string_view* bytes);
  // What was read; of a refused one the beginning.
  const HttpHead& head() const { return head_; }
  const Refusal& refusal() const { return refusal_; }

 private:
  State Refuse(Refusal refusal);
  State TakeLine();
  // The next line, bounded by what the head may still have.
  HttpLine RestOfHead() const;

  HttpHead head_;
  HttpLine line_{kMostTargetLine};
  size_t bytes_ = 0;
  bool has_blank_line_ = false, has_request_line_ = false;
  State state_ = State::kBlank;
  Refusal refusal_;
};

}  // namespace sluice::server
