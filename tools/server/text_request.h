// What a client asks for in /v1/embeddings, /tokenize and /detokenize.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/server/generation_request.h"
#include "tools/server/json_fields.h"

namespace sluice::server {

struct EmbeddingRequest {
  std::vector<Prompt> inputs;
  bool base64 = false;     // vectors as bytes of floats, little-endian
  int64_t dimensions = 0;  // 0: as many as the model has
};
inline constexpr int64_t kMostInputs = 2048;
absl::StatusOr<EmbeddingRequest> ParseEmbedding(const Json& body);

struct TokenizeRequest {
  std::string content;
  bool add_special = false;
  bool parse_special = true;
};
absl::StatusOr<TokenizeRequest> ParseTokenize(const Json& body);

absl::StatusOr<std::vector<int32_t>> ParseDetokenize(const Json& body);

}  // namespace sluice::server
