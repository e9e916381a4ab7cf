#include "runtime/step_batch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "graph/decoder_interface.h"
#include "graph/status_macros.h"

namespace sluice {

StepBatch::StepBatch(const StepLimits& limits) : limits_(limits) {
  const auto seqs = static_cast<size_t>(limits.max_seqs);
  for (auto* list : {&token_ids_, &positions_, &seq_ids_, &slots_}) {
    list->reserve(static_cast<size_t>(limits.max_tokens));
  }
  output_rows_.reserve(static_cast<size_t>(limits.max_outputs));
  block_tables_.reserve(seqs * static_cast<size_t>(limits.max_context / limits.block_size));
  context_lens_.reserve(seqs);
  sequences_.reserve(seqs);
  old_lengths_.reserve(seqs);
  next_positions_.reserve(seqs);
}

std::vector<int32_t>* StepBatch::Input(absl::string_view name) {
  if (name == decoder::kTokenIds) return &token_ids_;
  if (name == decoder::kPositions) return &positions_;
  if (name == decoder::kSeqIds) return &seq_ids_;
  if (name == decoder::kSlots) return &slots_;
  if (name == decoder::kBlockTables) return &block_tables_;
  if (name == decoder::kContextLens) return &context_lens_;
  if (name == decoder::kOutputRows) return &output_rows_;
  return nullptr;
}

absl::Status StepBatch::Fill(absl::Span<const StepToken> tokens) {
  SLUICE_RETURN_IF_ERROR(Check(tokens));
  SLUICE_RETURN_IF_ERROR(ExtendSequences(tokens));
  FillTokens(tokens);
  FillTables();
  return absl::OkStatus();
}

absl::Status StepBatch::Check(absl::Span<const StepToken> tokens) const {
  const auto count = static_cast<int64_t>(tokens.size());
  const int64_t wanted =
      std::count_if(tokens.begin(), tokens.end(), [](const StepToken& t) { return t.want_logits; });
  if (count < 1 || count > limits_.max_tokens || wanted > limits_.max_outputs) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a step of ", count, " tokens with ", wanted, " rows of logits, expected 1 to ",
        limits_.max_tokens, " and at most ", limits_.max_outputs));
  }
  for (const StepToken& t : tokens) {
    SLUICE_RETURN_IF_ERROR(limits_.CheckToken(t.token));
  }
  return absl::OkStatus();
}

// Collects the step's sequences and makes room in each. All or nothing.
absl::Status StepBatch::ExtendSequences(absl::Span<const StepToken> tokens) {
  sequences_.clear();
  old_lengths_.clear();
  for (const StepToken& t : tokens) {
    const auto& known = sequences_;
    if (std::find(known.begin(), known.end(), t.sequence) != known.end()) continue;
    const int64_t length = t.sequence->length();
    if (absl::Status status = Extend(*t.sequence, tokens); !status.ok()) {
      RollBack();
      return status;
    }
    sequences_.push_back(t.sequence);
    old_lengths_.push_back(length);
  }
  return absl::OkStatus();
}

// Makes room in one more sequence for those of `tokens` that are its.
absl::Status StepBatch::Extend(Sequence& sequence, absl::Span<const StepToken> tokens) const {
  if (sequences() == limits_.max_seqs) {
    return absl::InvalidArgumentError(
        absl::StrCat("a step of more than ", limits_.max_seqs, " sequences"));
  }
  int64_t count = 0, replays = 0;
  for (const StepToken& t : tokens) {
    if (t.sequence != &sequence) continue;
    ++count;
    if (t.replay) ++replays;
  }
  const int64_t length = sequence.length();
  if (length + count > limits_.max_context) {
    return absl::OutOfRangeError(absl::StrCat("the context is full: ", length, " + ", count,
                                              " tokens, expected at most ", limits_.max_context));
  }
  if (replays == 0) return sequence.Extend(count);
  if (length == 0 || count != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a token of a sequence of ", length, " is run again in a step of ", count,
                     " of its tokens, expected it to be the last one, and alone"));
  }
  return sequence.Claim(length + 1);
}

void StepBatch::RollBack() {
  for (size_t i = 0; i < sequences_.size(); ++i) sequences_[i]->Truncate(old_lengths_[i]);
}

void StepBatch::FillTokens(absl::Span<const StepToken> tokens) {
  for (auto* list : {&token_ids_, &positions_, &seq_ids_, &slots_, &output_rows_}) list->clear();
  next_positions_.assign(old_lengths_.begin(), old_lengths_.end());
  for (const StepToken& t : tokens) {
    const auto it = std::find(sequences_.begin(), sequences_.end(), t.sequence);
    const auto s = static_cast<size_t>(it - sequences_.begin());
    const int64_t place = next_positions_[s]++;
    if (t.want_logits) output_rows_.push_back(static_cast<int32_t>(token_ids_.size()));
    token_ids_.push_back(t.token);
    seq_ids_.push_back(static_cast<int32_t>(s));
    positions_.push_back(static_cast<int32_t>(t.replay ? place - 1 : place));
    slots_.push_back(t.sequence->Slot(place));
  }
  if (output_rows_.empty()) output_rows_.push_back(0);  // a dimension is at least 1
}

void StepBatch::FillTables() {
  context_lens_.clear();
  table_ = 1;
  for (const Sequence* sequence : sequences_) {
    context_lens_.push_back(static_cast<int32_t>(sequence->length()));
    table_ = std::max(table_, static_cast<int64_t>(sequence->blocks().size()));
  }
  block_tables_.assign(sequences_.size() * static_cast<size_t>(table_), 0);
  for (size_t s = 0; s < sequences_.size(); ++s) {
    const auto blocks = sequences_[s]->blocks();
    std::copy(blocks.begin(), blocks.end(),
              block_tables_.begin() + static_cast<ptrdiff_t>(s) * table_);
  }
}

}  // namespace sluice
