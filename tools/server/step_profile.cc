#include "tools/server/step_profile.h"

#include <algorithm>

namespace sluice::server {

void StepRecorder::OnNode(const Node& node, absl::Span<const TensorView> /*operands*/,
                          absl::Span<const TensorView> /*results*/, double seconds) {
  if (node.op().is_view) return;
  OpTime& time = ops_[node.op().name];
  time.op = node.op().name;
  time.seconds += seconds;
  ++time.calls;
  if (!node.kernel().empty()) time.kernels.insert(node.kernel());
}

void StepRecorder::EndStep(int64_t tokens) {
  tokens_ = tokens - first_token_;
  ++steps_;
}

StepProfile StepRecorder::profile() const {
  StepProfile profile{.steps = steps_, .tokens = tokens_, .ops = {}};
  for (const auto& [name, time] : ops_) profile.ops.push_back(time);
  std::stable_sort(profile.ops.begin(), profile.ops.end(),
                   [](const OpTime& a, const OpTime& b) { return a.seconds > b.seconds; });
  return profile;
}

}  // namespace sluice::server
