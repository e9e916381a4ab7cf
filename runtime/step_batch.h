// The tokens of one step as a decoder's graph takes them.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/step_runner.h"

namespace sluice {

class StepBatch {
 public:
  // Makes room for the largest step that the limits allow, so that no step allocates.
  explicit StepBatch(const StepLimits& limits);

  // Makes room for `tokens` in their sequences and fills the inputs. On an error, which says what
  // the limit was, the sequences are as before.
  absl::Status Fill(absl::Span<const StepToken> tokens);
  // The step was not run: the sequences are again as before Fill.
  void RollBack();

  // By the names of graph/decoder_interface.h; nullptr if there is none of this name.
  std::vector<int32_t>* Input(absl::string_view name);
  int64_t tokens() const { return static_cast<int64_t>(token_ids_.size()); }
  int64_t outputs() const { return static_cast<int64_t>(output_rows_.size()); }
  int64_t sequences() const { return static_cast<int64_t>(sequences_.size()); }
  int64_t table() const { return table_; }  // columns of block_tables

 private:
  absl::Status Check(absl::Span<const StepToken> tokens) const;
  absl::Status ExtendSequences(absl::Span<const StepToken> tokens);
  absl::Status Extend(Sequence& sequence, absl::Span<const StepToken> tokens) const;
  void FillTokens(absl::Span<const StepToken> tokens);
  void FillTables();

  StepLimits limits_;
  std::vector<int32_t> token_ids_, positions_, seq_ids_, slots_, block_tables_, context_lens_,
      output_rows_;
  int64_t table_ = 1;
  std::vector<Sequence*> sequences_;
  std::vector<int64_t> old_lengths_;     // of the sequences, before the step
  std::vector<int64_t> next_positions_;  // of the sequences' tokens that are not in the lists yet
};

}  // namespace sluice
