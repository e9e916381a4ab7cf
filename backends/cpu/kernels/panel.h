// Products with quantised weights, panel by panel: a panel is a run of weight rows that, decoded to
// float32, fits into a core's L2 cache. Each panel is decoded once and multiplied with all rows of
// the activations, so a weight is never decoded as a whole. Weights in the layout x16 meet few rows
// of activations without being decoded at all.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "backends/cpu/kernels/x16.h"
#include "graph/formats/dequantize.h"
#include "graph/graph.h"
#include "graph/tensor.h"
#include "proto/device.pb.h"

namespace sluice::cpu {

// How the weights of a kernel stand in memory. A pair of kernels differs in this alone.
enum class Layout { kFile, kX16 };
const char* LayoutName(Layout layout);    // as in Kernel::layout: "" or "x16"
const char* KernelSuffix(Layout layout);  // "panel" or "x16"

// Whether the layout takes all operands that are weights of any format: OK, or the reason in words.
absl::Status AcceptsWeights(const Node& node, Layout layout);

// The same as a Kernel::accepts.
template <Layout kLayout>
absl::Status AcceptsWeights(const Node& node, const proto::DeviceCaps&) {
  return AcceptsWeights(node, kLayout);
}

// The code that reads weights in x16 on the device; null for the file's layout.
const X16Isa* IsaFor(Layout layout, const proto::DeviceCaps& caps);

// A matrix of weights, one row per output.
struct WeightMatrix {
  DType dtype;
  const std::byte* data;
  int64_t rows;
  int64_t cols;
  const X16Isa* x16 = nullptr;  // null: rows of blocks, as in the file
  const float* bias = nullptr;  // [rows], or none
};

// The weight [rows, cols], or one of the stacked weights [experts, rows, cols].
WeightMatrix MatrixOf(const TensorView& weight, const X16Isa* x16);
WeightMatrix ExpertMatrixOf(const TensorView& weights, int64_t expert, const X16Isa* x16);

// How a weight of given width is cut.
class PanelSplit {
 public:
  PanelSplit() = default;
  PanelSplit(int64_t rows, int64_t cols, Layout layout, const proto::DeviceCaps& caps);
  int64_t count() const { return (rows_ + rows_per_panel_ - 1) / rows_per_panel_; }
  int64_t begin(int64_t panel) const { return panel * rows_per_panel_; }
  int64_t end(int64_t panel) const;
  int64_t rows_per_panel() const { return rows_per_panel_; }
  // Working memory of one thread for decoding: floats.
  int64_t scratch_floats() const { return rows_per_panel_ * cols_; }

 private:
  int64_t rows_ = 0, cols_ = 0, rows_per_panel_ = 1;
};

// y[i, begin..end) = x[i,:] . w[j,:] + bias[j] for the weight rows begin..end of a panel and all m
// rows of x [m, w.cols]; `y` points at column `begin` of its first row. `scratch` holds
// PanelSplit::scratch_floats().
void MultiplyPanel(const WeightMatrix& w, int64_t begin, int64_t end, const float* x, int64_t m,
                   float* y, int64_t y_stride, float* scratch);

// The values of one row. `scratch` holds RowScratchFloats.
void DecodeRow(const WeightMatrix& w, int64_t row, float* out, float* scratch);
int64_t RowScratchFloats(Layout layout, int64_t cols);

}  // namespace sluice::cpu
