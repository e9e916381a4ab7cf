// Which tokens may come next in a text, where not all may.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace sluice {

// Of one text, from its beginning. For use by one thread.
class TokenFilter {
 public:
  virtual ~TokenFilter() = default;

  // Token t may come next if bit t % 64 of word t / 64 is set, and no token may that has no bit;
  // those that end a text are among them. Valid until the next call. FailedPrecondition: none may,
  // ResourceExhausted: it takes too long to find out. Then the text cannot be gone on with.
  virtual absl::StatusOr<absl::Span<const uint64_t>> Allowed() = 0;
  // `token` comes next.
  virtual void Accept(int32_t token) = 0;
  // The text is whole, and nothing but its end may come next.
  virtual bool IsComplete() const = 0;
};

}  // namespace sluice
