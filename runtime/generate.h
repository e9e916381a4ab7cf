// Generation of one sequence: prompt in, tokens out, until something ends it.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/sampler.h"
#include "runtime/session.h"

namespace sluice {

enum class StopReason : uint8_t {
  kEndOfGeneration,  // the model said that it is done
  kLength,           // max_tokens were generated
  kContext,          // the context is full
  kCallback,         // on_token returned false
};
absl::string_view Describe(StopReason reason);

struct GenerateOptions {
  int64_t max_tokens = -1;  // -1: no limit but the context
  SamplerOptions sampling;
  std::function<bool(int32_t)> is_end;    // true for tokens that end the text; none: no token does
  std::function<bool(int32_t)> on_token;  // every generated token but the end; false stops
};

struct GenerateResult {
  StopReason reason;
  int64_t generated = 0;  // tokens given to on_token
  double prompt_seconds = 0;
  double decode_seconds = 0;
};

// Errors: an empty prompt, one that leaves no room for a token, bad options, and what the step
// reports (non-finite logits among it).
absl::StatusOr<GenerateResult> Generate(Session& session, absl::Span<const int32_t> prompt,
                                        const GenerateOptions& options);

}  // namespace sluice
