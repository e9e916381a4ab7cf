// The likeliest continuation of a prompt.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "graph/status_macros.h"
#include "runtime/generate.h"

namespace sluice {

// `count` tokens, as long as the context has room; tokens that end a text are like any other.
inline absl::StatusOr<std::vector<int32_t>> GreedyText(Session& session,
                                                       absl::Span<const int32_t> prompt,
                                                       size_t count) {
  std::vector<int32_t> text;
  GenerateOptions options{.max_tokens = static_cast<int64_t>(count),
                          .sampling = {.temperature = 0}};
  options.on_token = [&](int32_t token) {
    text.push_back(token);
    return true;
  };
  SLUICE_RETURN_IF_ERROR(Generate(session, prompt, options).status());
  return text;
}

}  // namespace sluice
