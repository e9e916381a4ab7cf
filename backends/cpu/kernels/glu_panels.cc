#include "backends/cpu/kernels/glu_panels.h"

#include <algorithm>

namespace sluice::cpu {

GluPanels::GluPanels(const PanelSplit& split, Layout layout, int64_t max_rows, GateFunction gate)
    : split_(split),
      max_rows_(layout == Layout::kX16 ? std::min<int64_t>(max_rows, kTileRows) : max_rows),
      gate_(gate) {}

int64_t GluPanels::scratch_floats() const {
  return split_.scratch_floats() + max_rows_ * split_.rows_per_panel();
}

void GluPanels::Multiply(const WeightMatrix& gate, const WeightMatrix& up, int64_t panel,
                         const InputRows& x, float* y, int64_t y_stride, float* scratch) const {
  const int64_t begin = split_.begin(panel), end = split_.end(panel), width = end - begin;
  float* gates = scratch + split_.scratch_floats();
  // Rows that a pass over the weights takes together, so that their gates are still in cache.
  ForEachPass(x, gate, [&](const InputRows& pass, int64_t first) {
    float* out = y + first * y_stride + begin;
    MultiplyPanel(gate, begin, end, pass, gates, width, scratch);
    MultiplyPanel(up, begin, end, pass, out, y_stride, scratch);
    for (int64_t i = 0; i < pass.count; ++i) {
      gate_(gates + i * width, width, out + i * y_stride);
    }
  });
}

}  // namespace sluice::cpu
