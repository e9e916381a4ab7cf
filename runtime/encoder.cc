#include "runtime/encoder.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice {

absl::StatusOr<Encoder> Encoder::Create(Session& session) {
  const std::optional<Pooling> pooling = PoolingOf(session.graph());
  if (!pooling.has_value()) {
    return absl::InvalidArgumentError("the graph is no encoder: it has no attribute 'pooling'");
  }
  SLUICE_ASSIGN_OR_RETURN(const int64_t context,
                          encoder::NumberOf(session.graph(), encoder::kContext));
  Encoder result(session, *pooling);
  result.width_ = session.graph().outputs()[0]->type().shape[1].factor();
  result.max_length_ = std::min({context, session.max_context(), session.max_tokens()});
  return result;
}

absl::Status Encoder::CheckTexts(Texts texts) const {
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto length = static_cast<int64_t>(texts[i].size());
    if (length >= 1 && length <= max_length_) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("text ", i, " has ", length, " tokens, expected 1 to ", max_length_));
  }
  return absl::OkStatus();
}

// How many of the texts, from the first on, one step takes. At least one.
size_t Encoder::FittingStep(Texts texts) const {
  int64_t tokens = 0;
  size_t count = 0;
  for (const std::vector<int32_t>& text : texts) {
    tokens += static_cast<int64_t>(text.size());
    if (tokens > session_.max_tokens() || static_cast<int64_t>(count) == session_.max_seqs()) break;
    ++count;
  }
  return count;
}

// With mean pooling the graph does not read which rows are asked for, but a step that asks for none
// gives nothing.
bool Encoder::WantsRow(size_t token, size_t tokens) const {
  if (pooling_ == Pooling::kNone) return true;
  return pooling_ == Pooling::kLast ? token + 1 == tokens : token == 0;
}

absl::Status Encoder::RunStep(Texts texts, std::vector<std::vector<float>>* vectors) {
  std::vector<std::unique_ptr<Sequence>> sequences;  // their blocks are free again afterwards
  std::vector<StepToken> step;
  for (const std::vector<int32_t>& text : texts) {
    sequences.push_back(session_.NewSequence());
    for (size_t i = 0; i < text.size(); ++i) {
      step.push_back({sequences.back().get(), text[i], WantsRow(i, text.size())});
    }
  }
  SLUICE_ASSIGN_OR_RETURN(const absl::Span<const float> rows, session_.Step(step));
  const float* row = rows.data();
  for (const std::vector<int32_t>& text : texts) {
    const int64_t count = pooling_ == Pooling::kNone ? static_cast<int64_t>(text.size()) : 1;
    vectors->emplace_back(row, row + count * width_);
    row += count * width_;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::vector<float>>> Encoder::Encode(Texts texts) {
  SLUICE_RETURN_IF_ERROR(CheckTexts(texts));
  std::vector<std::vector<float>> vectors;
  while (!texts.empty()) {
    const size_t count = FittingStep(texts);
    SLUICE_RETURN_IF_ERROR(RunStep(texts.first(count), &vectors));
    texts.remove_prefix(count);
  }
  return vectors;
}

void Normalize(absl::Span<float> vector) {
  double squares = 0;
  for (const float x : vector) squares += double{x} * x;
  if (squares == 0) return;
  const double scale = 1 / std::sqrt(squares);
  for (float& x : vector) x = static_cast<float>(x * scale);
}

}  // namespace sluice
