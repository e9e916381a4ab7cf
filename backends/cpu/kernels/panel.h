// Products with quantised weights, panel by panel: a panel is a run of weight rows that, decoded to
// float32, fits into a core's L2 cache. Each panel is decoded once and multiplied with all rows of
// the activations, so a weight is never decoded as a whole.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "graph/formats/dequantize.h"
#include "graph/graph.h"
#include "graph/tensor.h"
#include "proto/device.pb.h"

namespace sluice::cpu {

// Whether panels can be made of the weight: OK, or the reason in words.
absl::Status AcceptsWeight(const Value& weight);

// A matrix of weights, one row per output.
struct WeightMatrix {
  DType dtype;
  const std::byte* data;
  int64_t rows;
  int64_t cols;
  const float* bias = nullptr;  // [rows], or none
};

// How a weight of given width is cut.
class PanelSplit {
 public:
  PanelSplit() = default;
  PanelSplit(int64_t rows, int64_t cols, const proto::DeviceCaps& caps);
  int64_t count() const { return (rows_ + rows_per_panel_ - 1) / rows_per_panel_; }
  int64_t begin(int64_t panel) const { return panel * rows_per_panel_; }
  int64_t end(int64_t panel) const;
  int64_t rows_per_panel() const { return rows_per_panel_; }
  // Working memory of one thread for decoding: floats.
  int64_t scratch_floats() const { return rows_per_panel_ * cols_; }

 private:
  int64_t rows_ = 0, cols_ = 0, rows_per_panel_ = 1;
};

// y[i, begin..end) = x[i,:] . w[j,:] + bias[j] for the weight rows begin..end and all m rows of x
// [m, w.cols]; `y` points at column `begin` of its first row. `scratch` holds
// (end - begin) * w.cols floats.
void MultiplyPanel(const WeightMatrix& w, int64_t begin, int64_t end, const float* x, int64_t m,
                   float* y, int64_t y_stride, float* scratch);

}  // namespace sluice::cpu
