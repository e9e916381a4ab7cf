#include "tests/support/fake_device.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/decoder_interface.h"
#include "graph/status_macros.h"
#include "runtime/prefix_cache.h"

namespace sluice {
namespace {

// Logits in [-1, 1) that differ for each text and token.
void AppendLogitsOf(uint64_t text, int64_t vocabulary, std::vector<float>* out) {
  for (int32_t v = 0; v < vocabulary; ++v) {
    const uint64_t bits = HashTokens(text, {v, 1});
    out->push_back(static_cast<float>(bits >> 40) * 0x1p-23f - 1);
  }
}

}  // namespace

FakeDevice::FakeDevice(const StepLimits& limits, int64_t blocks)
    : limits_(limits),
      pool_(blocks),
      batch_(limits),
      places_(static_cast<size_t>(blocks * limits.block_size)),
      written_(places_.size()) {}

std::vector<float> FakeDevice::LogitsAfter(absl::Span<const int32_t> text, int64_t vocabulary) {
  std::vector<float> logits;
  AppendLogitsOf(HashTokens(0, text), vocabulary, &logits);
  return logits;
}

std::unique_ptr<Sequence> FakeDevice::NewSequence() {
  return std::make_unique<Sequence>(&pool_, limits_.block_size);
}

absl::StatusOr<absl::Span<const float>> FakeDevice::Step(absl::Span<const StepToken> tokens) {
  SLUICE_RETURN_IF_ERROR(batch_.Fill(tokens));
  if (absl::Status failure = std::exchange(failure_, absl::OkStatus()); !failure.ok()) {
    batch_.RollBack();
    return failure;
  }
  ++step_;
  for (size_t t = 0; t < tokens.size(); ++t) Write(t);
  for (size_t t = 0; t < tokens.size(); ++t) CheckText(t);
  logits_.clear();
  for (const int32_t row : *batch_.Input(decoder::kOutputRows)) {
    AppendLogits(static_cast<size_t>(row));
  }
  if (std::exchange(poisoned_, false)) logits_[0] = std::numeric_limits<float>::quiet_NaN();
  return absl::MakeConstSpan(logits_);
}

FakeDevice::Place& FakeDevice::PlaceOf(size_t sequence, int64_t position) {
  const auto column = static_cast<size_t>(position / limits_.block_size);
  const auto width = static_cast<size_t>(batch_.table());
  if (column >= width) {
    Fault(absl::StrCat("position ", position, " is beyond a table of ", width, " blocks"));
    return places_[0];
  }
  const int32_t block = (*batch_.Input(decoder::kBlockTables))[sequence * width + column];
  return places_[static_cast<size_t>(block * limits_.block_size + position % limits_.block_size)];
}

void FakeDevice::Write(size_t token) {
  const int32_t slot = (*batch_.Input(decoder::kSlots))[token];
  const int32_t position = (*batch_.Input(decoder::kPositions))[token];
  const auto sequence = static_cast<size_t>((*batch_.Input(decoder::kSeqIds))[token]);
  const auto block = static_cast<int32_t>(slot / limits_.block_size);
  if (pool_.holders(block) != 1 || pool_.kept(block)) {
    Fault(absl::StrCat("slot ", slot, " is written in a block with ", pool_.holders(block),
                       " holders", pool_.kept(block) ? ", which is kept" : ""));
  }
  if (std::exchange(written_[static_cast<size_t>(slot)], step_) == step_) {
    Fault(absl::StrCat("slot ", slot, " is written twice in one step"));
  }
  const uint64_t before = position == 0 ? 0 : PlaceOf(sequence, position - 1).text;
  const int32_t id = (*batch_.Input(decoder::kTokenIds))[token];
  places_[static_cast<size_t>(slot)] = {position, id, HashTokens(before, {id})};
}

// What the token attends to must be one text, position by position, whose last token it is.
void FakeDevice::CheckText(size_t token) {
  const int32_t position = (*batch_.Input(decoder::kPositions))[token];
  const auto sequence = static_cast<size_t>((*batch_.Input(decoder::kSeqIds))[token]);
  uint64_t text = 0;
  for (int32_t p = 0; p <= position; ++p) {
    const Place& place = PlaceOf(sequence, p);
    text = HashTokens(text, {place.token});
    if (place.position != p || place.text != text) {
      return Fault(absl::StrCat("position ", p, " of a text of ", position + 1,
                                " tokens holds position ", place.position, " of another"));
    }
  }
  if (PlaceOf(sequence, position).token != (*batch_.Input(decoder::kTokenIds))[token]) {
    Fault(absl::StrCat("position ", position, " holds another token than the one that is run"));
  }
  if ((*batch_.Input(decoder::kContextLens))[sequence] <= position) {
    Fault(absl::StrCat("position ", position, " is beyond the context's length"));
  }
}

void FakeDevice::AppendLogits(size_t token) {
  const auto sequence = static_cast<size_t>((*batch_.Input(decoder::kSeqIds))[token]);
  const int32_t position = (*batch_.Input(decoder::kPositions))[token];
  AppendLogitsOf(PlaceOf(sequence, position).text, limits_.vocabulary, &logits_);
}

void FakeDevice::Fault(const std::string& fault) {
  if (fault_.empty()) fault_ = absl::StrCat("step ", step_, ": ", fault);
}

}  // namespace sluice
