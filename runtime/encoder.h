// Texts to vectors, on a session of an encoder: which texts share a step, and which rows are whose.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "graph/encoder_interface.h"
#include "runtime/session.h"

namespace sluice {

class Encoder {
 public:
  // The session outlives the encoder; its max_outputs is its max_tokens. Errors: its graph is no
  // encoder.
  static absl::StatusOr<Encoder> Create(Session& session);

  Pooling pooling() const { return pooling_; }
  int64_t width() const { return width_; }            // of a vector
  int64_t max_length() const { return max_length_; }  // tokens of one text

  // For each text its vector, [width()], or without pooling those of its tokens, [tokens,width()]
  // row by row. Texts share steps as far as they fit; that makes no difference to what they give.
  // InvalidArgument: a text without tokens or longer than max_length(), named by its place in the
  // list, or an unknown token.
  absl::StatusOr<std::vector<std::vector<float>>> Encode(
      absl::Span<const std::vector<int32_t>> texts);

 private:
  using Texts = absl::Span<const std::vector<int32_t>>;

  Encoder(Session& session, Pooling pooling) : session_(session), pooling_(pooling) {}
  absl::Status CheckTexts(Texts texts) const;
  size_t FittingStep(Texts texts) const;
  bool WantsRow(size_t token, size_t tokens) const;
  absl::Status RunStep(Texts texts, std::vector<std::vector<float>>* vectors);

  Session& session_;
  Pooling pooling_;
  int64_t width_ = 0, max_length_ = 0;
};

// Divides a vector by its Euclidean length; zeros stay.
void Normalize(absl::Span<float> vector);

}  // namespace sluice
