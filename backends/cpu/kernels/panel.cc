#include "backends/cpu/kernels/panel.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "backends/cpu/onednn.h"

namespace sluice::cpu {

absl::Status AcceptsWeight(const Value& weight) {
  const Shape& shape = weight.type().shape;
  if (!std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_constant(); })) {
    return absl::UnimplementedError(
        absl::StrCat("weight ", weight.ref(), " is ", weight.type().ToString(),
                     ", expected constant dimensions, by which it is cut into panels"));
  }
  if (CanDequantize(weight.type().dtype)) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("weight ", weight.ref(), " has the format ",
                                               Name(weight.type().dtype),
                                               ", which cannot be decoded yet"));
}

PanelSplit::PanelSplit(int64_t rows, int64_t cols, const proto::DeviceCaps& caps)
    : rows_(rows), cols_(cols) {
  // Half of the L2 cache: the other half is for activations and results. At least 16 rows, below
  // which the GEMM runs at a fraction of its speed; at most 256, so that all threads get work.
  const int64_t fitting = caps.l2_bytes() / 2 / (cols * static_cast<int64_t>(sizeof(float)));
  const int64_t shared = (rows + caps.threads() - 1) / std::max(caps.threads(), 1);
  rows_per_panel_ = std::clamp<int64_t>(std::min(fitting, shared), 16, 256);
  rows_per_panel_ = std::min(rows_per_panel_, rows);
}

int64_t PanelSplit::end(int64_t panel) const {
  return std::min(rows_, (panel + 1) * rows_per_panel_);
}

void MultiplyPanel(const WeightMatrix& w, int64_t begin, int64_t end, const float* x, int64_t m,
                   float* y, int64_t y_stride, float* scratch) {
  const DTypeInfo& info = Info(w.dtype);
  const int64_t row_bytes = w.cols / info.elements_per_block * info.bytes_per_block;
  const std::byte* rows = w.data + begin * row_bytes;
  const float* panel = scratch;
  if (w.dtype == DType::kF32) {
    panel = reinterpret_cast<const float*>(rows);
  } else {
    DequantizerFor(w.dtype)(rows, (end - begin) * w.cols, scratch);
  }
  MultiplyTransposed(m, end - begin, w.cols, x, w.cols, panel, w.cols, y, y_stride);
  if (w.bias == nullptr) return;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = begin; j < end; ++j) y[i * y_stride + j - begin] += w.bias[j];
  }
}

}  // namespace sluice::cpu
