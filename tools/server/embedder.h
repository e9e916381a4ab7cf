// Texts to vectors for many clients: one at a time, in small helpings.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/encoder.h"

namespace sluice::server {

class Embedder {
 public:
  // Of a session of an encoder, which outlives it and is used by nobody else. Errors: Encoder's,
  // and a model without pooling, which has no vector for a text.
  static absl::StatusOr<std::unique_ptr<Embedder>> Create(Session& session);

  int64_t width() const { return encoder_.width(); }
  int64_t max_length() const { return encoder_.max_length(); }

  // Normalised vectors of the texts. `is_wanted` is asked now and then; Cancelled if it says no.
  // Other errors: Encoder's. From any thread.
  absl::StatusOr<std::vector<std::vector<float>>> Embed(
      absl::Span<const std::vector<int32_t>> texts, const std::function<bool()>& is_wanted);

 private:
  explicit Embedder(Encoder encoder) : encoder_(std::move(encoder)) {}

  Encoder encoder_;
  std::mutex mutex_;  // one step at a time
};

}  // namespace sluice::server
