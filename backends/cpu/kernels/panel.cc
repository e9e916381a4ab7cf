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

X16Matrix AsX16(const WeightMatrix& w) {
  return {X16FormatIndex(w.dtype), w.isa.x16, w.data, w.cols};
}

// Expanding costs what so many tiles gain by it: fewer tiles if a chunk has two groups, not one,
// which gains more.
constexpr int64_t kExpandingTiles[] = {8, 3};

bool Expands(const X16Matrix& w, int64_t x_rows) {
  const int64_t tiles = kExpandingTiles[kX16Formats[w.format].ChunkGroups() - 1];
  return w.isa->can_expand && x_rows > (tiles - 1) * kTileRows;
}

// Whether there is a format whose weights are expanded.
bool ExpandsSome(const X16Isa& isa, int64_t x_rows) {
  return isa.can_expand && x_rows > (kExpandingTiles[1] - 1) * kTileRows;
}

// How many rows are expanded at a time: two weights of a glu, a tile and its results fit into an L2
// cache of 1 MiB. The same for all formats, as the two weights may have different ones.
int64_t ExpandedRows(int64_t cols) {
  constexpr int64_t kBytes = int64_t{1} << 18;
  return kX16Rows * std::max<int64_t>(1, kBytes / MostExpandedStripBytes(cols));
}

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
      layout == Layout::kFile ? ", which cannot be decoded" : ", which x16 does not have"));
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

ProductIsa IsaFor(Layout layout, const proto::DeviceCaps& caps) {
  return {layout == Layout::kX16 ? &X16IsaFor(caps) : nullptr, &VectorIsaFor(caps)};
}

WeightMatrix MatrixOf(const TensorView& weight, const ProductIsa& isa) {
  return {weight.dtype, weight.data, weight.dim(0), weight.dim(1), isa};
}

WeightMatrix ExpertMatrixOf(const TensorView& weights, int64_t expert, const ProductIsa& isa) {
  const int64_t rows = weights.dim(1), cols = weights.dim(2);
  if (isa.x16 == nullptr) return {weights.dtype, weights.Slice(expert), rows, cols, isa};
  const X16Format& format = kX16Formats[X16FormatIndex(weights.dtype)];
  return {weights.dtype, weights.data + expert * X16MatrixBytes(format, rows, cols), rows, cols,
          isa};
}

PanelSplit::PanelSplit(const TensorType& weight, Layout layout, int64_t x_rows,
                       const proto::DeviceCaps& caps) {
  const size_t rank = weight.shape.size();
  rows_ = weight.shape[rank - 2].factor();
  const int64_t cols = weight.shape[rank - 1].factor();
  const int64_t threads = std::max(caps.threads(), 1);
  if (layout == Layout::kX16) {
    // A strip is read once for each tile of activations: panels of half of the L2 cache stay there.
    // Long runs of rows are read faster than short ones; two for each thread even out what threads
    // lose to other work on their cores.
    const int64_t strip_bytes = X16StripBytes(kX16Formats[X16FormatIndex(weight.dtype)], cols);
    const int64_t strips = (rows_ + kX16Rows - 1) / kX16Rows;
    const int64_t fitting = caps.l2_bytes() / 2 / strip_bytes;
    rows_per_panel_ = kX16Rows * std::max<int64_t>(1, std::min(fitting, strips / (2 * threads)));
    if (!ExpandsSome(X16IsaFor(caps), x_rows)) return;
    const int64_t expanded = std::min(rows_per_panel_, ExpandedRows(cols)) / kX16Rows;
    scratch_floats_ = expanded * MostExpandedStripBytes(cols) / int64_t{sizeof(float)};
    return;
  }
  // Half of the L2 cache: the other half is for activations and results. At least 16 rows, below
  // which the GEMM runs at a fraction of its speed; at most 256, so that all threads get work.
  const int64_t fitting = caps.l2_bytes() / 2 / (cols * static_cast<int64_t>(sizeof(float)));
  const int64_t shared = (rows_ + threads - 1) / threads;
  rows_per_panel_ = std::min(std::clamp<int64_t>(std::min(fitting, shared), 16, 256), rows_);
  scratch_floats_ = rows_per_panel_ * cols;
}

int64_t PanelSplit::end(int64_t panel) const {
  return std::min(rows_, (panel + 1) * rows_per_panel_);
}

int64_t Activations::scratch_bytes() const {
  return x16_ == nullptr ? 0 : (Q8Bytes(max_rows_, cols_) + 63) / 64 * 64;
}

InputRows Activations::Rows(const float* x, int64_t first, int64_t count,
                            const std::byte* scratch) const {
  return {count, x + first * cols_, x16_ == nullptr ? nullptr : scratch + Q8Bytes(first, cols_)};
}

void Activations::PrepareTiles(const float* x, const TileSplit& tiles, int64_t begin, int64_t end,
                               std::byte* out) const {
  for (int64_t t = begin; t < end; ++t) {
    const int64_t row = tiles.begin(t);
    x16_->quantize(x + row * cols_, tiles.height(t), cols_, out + Q8Bytes(row, cols_));
  }
}

void Activations::Prepare(const float* x, int64_t first, int64_t count, std::byte* scratch) const {
  if (x16_ == nullptr) return;
  const TileSplit tiles(count);
  PrepareTiles(x + first * cols_, tiles, 0, tiles.count(), scratch + Q8Bytes(first, cols_));
}

void Activations::Prepare(const float* x, int64_t count, std::byte* scratch,
                          const Threads& threads) const {
  if (x16_ == nullptr) return;
  constexpr int64_t kGrain =
      16384;  // numbers, a few microseconds: what a thread is worth waking for
  const TileSplit tiles(count);
  threads.For(
      tiles.count(), kGrain / (kTileRows * cols_) + 1,
      [&](int64_t begin, int64_t end, int) { PrepareTiles(x, tiles, begin, end, scratch); });
}

PanelRows::PanelRows(const WeightMatrix& w, int64_t begin, int64_t end, int64_t x_rows,
                     float* scratch)
    : w_(w), begin_(begin), end_(end), scratch_(scratch) {
  if (w.isa.x16 == nullptr) return;
  const X16Matrix matrix = AsX16(w);
  x16_ = Expands(matrix, x_rows)
             ? ExpandRows(matrix, begin, end, reinterpret_cast<std::byte*>(scratch))
             : RowsOf(matrix, begin, end);
}

void PanelRows::Multiply(const InputRows& x, float* y, int64_t y_stride) const {
  if (w_.isa.x16 != nullptr) {
    MultiplyX16(x16_, x.tiles, static_cast<int>(x.count), y, y_stride);
  } else {
    MultiplyFileRows(x, y, y_stride);
  }
  if (w_.bias == nullptr) return;
  for (int64_t i = 0; i < x.count; ++i) {
    for (int64_t j = begin_; j < end_; ++j) y[i * y_stride + j - begin_] += w_.bias[j];
  }
}

void PanelRows::MultiplyFileRows(const InputRows& x, float* y, int64_t y_stride) const {
  const std::byte* bytes = w_.data + begin_ * RowBytes(w_);
  const int64_t rows = end_ - begin_, cols = w_.cols;
  if (const DotRowsFn dot_rows = DotRowsFor(*w_.isa.vectors, w_.dtype);
      dot_rows != nullptr && x.count <= kMaxDotRows) {
    return dot_rows(bytes, RowBytes(w_), rows, cols, x.floats, x.count, y, y_stride);
  }
  const float* panel = scratch_;
  if (w_.dtype == DType::kF32) {
    panel = reinterpret_cast<const float*>(bytes);
  } else {
    DequantizerFor(w_.dtype)(bytes, rows * cols, scratch_);
  }
  MultiplyTransposed(x.count, rows, cols, x.floats, cols, panel, cols, y, y_stride);
}

int64_t RowsAtATime(const WeightMatrix& w, int64_t x_rows) {
  const bool expands = w.isa.x16 != nullptr && Expands(AsX16(w), x_rows);
  return expands ? ExpandedRows(w.cols) : w.rows;
}

void MultiplyPanel(const WeightMatrix& w, int64_t begin, int64_t end, const InputRows& x, float* y,
                   int64_t y_stride, float* scratch) {
  const int64_t step = RowsAtATime(w, x.count);
  for (int64_t first = begin; first < end; first += step) {
    const PanelRows rows(w, first, std::min(first + step, end), x.count, scratch);
    ForEachPass(x, w, [&](const InputRows& pass, int64_t i) {
      rows.Multiply(pass, y + i * y_stride + first - begin, y_stride);
    });
  }
}

void DecodeRow(const WeightMatrix& w, int64_t row, float* out) {
  if (w.isa.x16 != nullptr) {
    DecodeX16Row(AsX16(w), row, out);
  } else {
    DequantizerFor(w.dtype)(w.data + row * RowBytes(w), w.cols, out);
  }
}

}  // namespace sluice::cpu
