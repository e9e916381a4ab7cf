#include "backends/cpu/kernels/glu_panels.h"

#include <algorithm>

namespace sluice::cpu {

GluPanels::GluPanels(const PanelSplit& split, Layout layout, int64_t max_rows, GateFunction gate)
    : split_(split),
      up_offset_(layout == Layout::kX16 ? split.scratch_floats() : 0),
      max_rows_(layout == Layout::kX16 ? std::min<int64_t>(max_rows, kTileRows) : max_rows),
      gate_(gate) {}

int64_t GluPanels::scratch_floats() const {
  return up_offset_ + split_.scratch_floats() + max_rows_ * split_.rows_per_panel();
}

void GluPanels::Multiply(const WeightMatrix& gate, const WeightMatrix& up, int64_t panel,
                         const InputRows& x, float* y, int64_t y_stride, float* scratch) const {
  float* up_scratch = scratch + up_offset_;
  float* gates = up_scratch + split_.scratch_floats();
  const int64_t step = std::min(RowsAtATime(gate, x.count), RowsAtATime(up, x.count));
  for (int64_t begin = split_.begin(panel); begin < split_.end(panel); begin += step) {
    const int64_t end = std::min(begin + step, split_.end(panel)), width = end - begin;
    const PanelRows gate_rows(gate, begin, end, x.count, scratch);
    const PanelRows up_rows(up, begin, end, x.count, up_scratch);
    // Rows that a pass over the weights takes together, so that their gates are still in cache.
    ForEachPass(x, gate, [&](const InputRows& pass, int64_t first) {
      float* out = y + first * y_stride + begin;
      gate_rows.Multiply(pass, gates, width);
      up_rows.Multiply(pass, out, y_stride);
      for (int64_t i = 0; i < pass.count; ++i) {
        gate_(gates + i * width, width, out + i * y_stride);
      }
    });
  }
}

}  // namespace sluice::cpu
