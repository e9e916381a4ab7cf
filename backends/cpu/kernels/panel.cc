#include "backends/cpu/kernels/panel.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "backends/cpu/kernels/x16_product.h"
#include "backends/cpu/onednn.h"
#include "backends/kernel.h"
#include "graph/status_macros.h"

namespace sluice::cpu {
namespace {

int64_t RowBytes(const WeightMatrix& w) {
  const DTypeInfo& info = Info(w.dtype);
  return w.cols / info.elements_per_block * info.bytes_per_block;
}

X16Matrix AsX16(const WeightMatrix& w) { return {X16FormatIndex(w.dtype), w.x16, w.data, w.cols}; }

absl::Status AcceptsWeight(const Value& weight, Layout layout) {
  const Shape& shape = weight.type().shape;
  if (!std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_constant(); })) {
    return absl::UnimplementedError(
        absl::StrCat("weight ", weight.ref(), " is ", weight.type().ToString(),
                     ", expected constant dimensions, by which it is cut into panels"));
  }
  const DType dtype = weight.type().dtype;
  if (layout == Layout::kFile ? CanDequantize(dtype) : X16FormatIndex(dtype) >= 0) {
    return absl::OkStatus();
  }
  return absl::UnimplementedError(absl::StrCat(
      "weight ", weight.ref(), " has the format ", Name(dtype),
      layout == Layout::kFile ? ", which cannot be decoded yet" : ", which x16 does not have"));
}

}  // namespace

const char* LayoutName(Layout layout) { return layout == Layout::kX16 ? "x16" : ""; }
const char* KernelSuffix(Layout layout) { return layout == Layout::kX16 ? "x16" : "panel"; }

absl::Status AcceptsWeights(const Node& node, Layout layout) {
  for (size_t i = 0; i < node.operands().size(); ++i) {
    if (!IsPackable(node.op(), i)) continue;
    SLUICE_RETURN_IF_ERROR(AcceptsWeight(*node.operand(i), layout));
  }
  return absl::OkStatus();
}

const X16Isa* IsaFor(Layout layout, const proto::DeviceCaps& caps) {
  return layout == Layout::kX16 ? &X16IsaFor(caps) : nullptr;
}

WeightMatrix MatrixOf(const TensorView& weight, const X16Isa* x16) {
  return {weight.dtype, weight.data, weight.dim(0), weight.dim(1), x16};
}

WeightMatrix ExpertMatrixOf(const TensorView& weights, int64_t expert, const X16Isa* x16) {
  const int64_t rows = weights.dim(1), cols = weights.dim(2);
  if (x16 == nullptr) return {weights.dtype, weights.Slice(expert), rows, cols};
  const X16Format& format = kX16Formats[X16FormatIndex(weights.dtype)];
  return {weights.dtype, weights.data + expert * X16MatrixBytes(format, rows, cols), rows, cols,
          x16};
}

PanelSplit::PanelSplit(int64_t rows, int64_t cols, Layout layout, const proto::DeviceCaps& caps)
    : rows_(rows), cols_(cols) {
  // Half of the L2 cache: the other half is for activations and results. At least 16 rows, below
  // which the GEMM runs at a fraction of its speed; at most 256, so that all threads get work.
  const int64_t fitting = caps.l2_bytes() / 2 / (cols * static_cast<int64_t>(sizeof(float)));
  const int64_t shared = (rows + caps.threads() - 1) / std::max(caps.threads(), 1);
  rows_per_panel_ = std::clamp<int64_t>(std::min(fitting, shared), 16, 256);
  if (layout == Layout::kX16) {
    rows_per_panel_ = rows_per_panel_ / kX16Rows * kX16Rows;
  } else {
    rows_per_panel_ = std::min(rows_per_panel_, rows);
  }
}

int64_t PanelSplit::end(int64_t panel) const {
  return std::min(rows_, (panel + 1) * rows_per_panel_);
}

void MultiplyPanel(const WeightMatrix& w, int64_t begin, int64_t end, const float* x, int64_t m,
                   float* y, int64_t y_stride, float* scratch) {
  const std::byte* rows = w.data + begin * RowBytes(w);
  if (w.x16 != nullptr) {
    MultiplyX16(AsX16(w), begin, end, x, m, y, y_stride, scratch);
  } else if (w.dtype == DType::kF32) {
    const auto* panel = reinterpret_cast<const float*>(rows);
    MultiplyTransposed(m, end - begin, w.cols, x, w.cols, panel, w.cols, y, y_stride);
  } else {
    DequantizerFor(w.dtype)(rows, (end - begin) * w.cols, scratch);
    MultiplyTransposed(m, end - begin, w.cols, x, w.cols, scratch, w.cols, y, y_stride);
  }
  if (w.bias == nullptr) return;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = begin; j < end; ++j) y[i * y_stride + j - begin] += w.bias[j];
  }
}

void DecodeRow(const WeightMatrix& w, int64_t row, float* out, float* scratch) {
  if (w.x16 == nullptr) {
    DequantizerFor(w.dtype)(w.data + row * RowBytes(w), w.cols, out);
    return;
  }
  const X16Matrix x16 = AsX16(w);
  x16.kernel().decode(x16.StripOf(row), w.cols, scratch, kX16Rows);
  for (int64_t c = 0; c < w.cols; ++c) out[c] = scratch[c * kX16Rows + row % kX16Rows];
}

int64_t RowScratchFloats(Layout layout, int64_t cols) {
  return layout == Layout::kX16 ? kX16Rows * cols : 0;
}

}  // namespace sluice::cpu
