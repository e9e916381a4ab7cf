// A decoder without weights, for tests of what feeds decoders.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/step_batch.h"
#include "runtime/step_runner.h"

namespace sluice {

// Its cache remembers which token of which text was written to each slot, and it reads the texts
// back through the block tables that it is given, as attention does. So a block that is shared
// wrongly, overwritten or stale is noticed where it is used.
class FakeDevice final : public StepRunner {
 public:
  FakeDevice(const StepLimits& limits, int64_t blocks);

  // The logits after `text`, and thus of its last token in any batch.
  static std::vector<float> LogitsAfter(absl::Span<const int32_t> text, int64_t vocabulary);

  const StepLimits& limits() const override { return limits_; }
  BlockPool& pool() override { return pool_; }
  std::unique_ptr<Sequence> NewSequence() override;
  absl::StatusOr<absl::Span<const float>> Step(absl::Span<const StepToken> tokens) override;

  // The next step fails, once.
  void FailNext(absl::Status status) { failure_ = std::move(status); }
  // The first row of the next step's logits is NaN.
  void PoisonNext() { poisoned_ = true; }
  // The first wrong thing that was asked of it; "" if there was none.
  const std::string& fault() const { return fault_; }

 private:
  struct Place {
    int32_t position = -1;  // nothing was written
    int32_t token = 0;
    uint64_t text = 0;  // number of the text that ends here
  };

  Place& PlaceOf(size_t sequence, int64_t position);
  void Write(size_t token);
  void CheckText(size_t token);
  void AppendLogits(size_t token);
  void Fault(const std::string& fault);

  StepLimits limits_;
  BlockPool pool_;
  StepBatch batch_;
  std::vector<Place> places_;     // by slot
  std::vector<int64_t> written_;  // by slot: the last step that wrote to it
  int64_t step_ = 0;
  std::vector<float> logits_;
  absl::Status failure_;
  bool poisoned_ = false;
  std::string fault_;
};

}  // namespace sluice
