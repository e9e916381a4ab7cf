// Where the time of a model's steps goes, op by op.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "backends/backend.h"

namespace sluice::server {

struct OpTime {
  std::string op;
  double seconds = 0;
  int64_t calls = 0;
  std::set<std::string> kernels;
};

struct StepProfile {
  int64_t steps = 0;
  int64_t tokens = 0;       // that they ran
  std::vector<OpTime> ops;  // the longest first
};

// Adds up what the session tells it, step by step.
class StepRecorder : public RunObserver {
 public:
  // `tokens`: how many the scheduler had run by then.
  explicit StepRecorder(int64_t tokens) : first_token_(tokens) {}

  bool needs_values() const override { return false; }
  void OnNode(const Node& node, absl::Span<const TensorView> operands,
              absl::Span<const TensorView> results, double seconds) override;

  void EndStep(int64_t tokens);

  StepProfile profile() const;

 private:
  const int64_t first_token_;
  int64_t steps_ = 0, tokens_ = 0;
  std::map<std::string, OpTime> ops_;
};

}  // namespace sluice::server
