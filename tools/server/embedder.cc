#include "tools/server/embedder.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "graph/status_macros.h"

namespace sluice::server {

absl::StatusOr<std::unique_ptr<Embedder>> Embedder::Create(Session& session) {
  SLUICE_ASSIGN_OR_RETURN(Encoder encoder, Encoder::Create(session));
  if (encoder.pooling() == Pooling::kNone) {
    return absl::InvalidArgumentError(
        "the model does not say how the vectors of tokens become that of a text: --pooling mean, "
        "cls or last does");
  }
  return std::unique_ptr<Embedder>(new Embedder(std::move(encoder)));
}

absl::StatusOr<std::vector<std::vector<float>>> Embedder::Embed(
    absl::Span<const std::vector<int32_t>> texts, const std::function<bool()>& is_wanted) {
  constexpr size_t kHelping = 16;  // texts; then somebody else gets a turn
  std::vector<std::vector<float>> vectors;
  while (!texts.empty()) {
    if (!is_wanted()) return absl::CancelledError("nobody waits for the vectors any more");
    const auto helping = texts.first(std::min(kHelping, texts.size()));
    texts.remove_prefix(helping.size());
    const std::lock_guard<std::mutex> lock(mutex_);
    SLUICE_ASSIGN_OR_RETURN(std::vector<std::vector<float>> part, encoder_.Encode(helping));
    for (std::vector<float>& vector : part) {
      Normalize(absl::MakeSpan(vector));
      vectors.push_back(std::move(vector));
    }
  }
  return vectors;
}

}  // namespace sluice::server
