// Products with weights, panel by panel: a panel is a run of weight rows that stays in a core's L2
// cache while all rows of the activations meet it. Weights as in the file are decoded to float32
// for that, one panel at a time, but for plain floats that meet few rows; weights in the layout x16
// are multiplied with activations of 8 bits, as they are or, where they meet many rows, expanded.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "backends/cpu/kernels/vector_isa.h"
#include "backends/cpu/kernels/x16_product.h"
#include "backends/cpu/threads.h"
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

// The code that reads weights on the device.
struct ProductIsa {
  const X16Isa* x16;         // null for the file's layout
  const VectorIsa* vectors;  // for plain floats
};
ProductIsa IsaFor(Layout layout, const proto::DeviceCaps& caps);

// A matrix of weights, one row per output.
struct WeightMatrix {
  DType dtype;
  const std::byte* data;
  int64_t rows;
  int64_t cols;
  ProductIsa isa;
  const float* bias = nullptr;  // [rows], or none
};

// The weight [rows, cols], or one of the stacked weights [experts, rows, cols].
WeightMatrix MatrixOf(const TensorView& weight, const ProductIsa& isa);
WeightMatrix ExpertMatrixOf(const TensorView& weights, int64_t expert, const ProductIsa& isa);

// How a weight of the type [..., rows, cols] is cut.
class PanelSplit {
 public:
  PanelSplit() = default;
  // `x_rows` are the rows of activations that meet the weight at most.
  PanelSplit(const TensorType& weight, Layout layout, int64_t x_rows,
             const proto::DeviceCaps& caps);
  int64_t count() const { return (rows_ + rows_per_panel_ - 1) / rows_per_panel_; }
  int64_t begin(int64_t panel) const { return panel * rows_per_panel_; }
  int64_t end(int64_t panel) const;
  int64_t rows_per_panel() const { return rows_per_panel_; }
  // Working memory of one thread for decoding or expanding: floats.
  int64_t scratch_floats() const { return scratch_floats_; }

 private:
  int64_t rows_ = 0, rows_per_panel_ = 1, scratch_floats_ = 0;
};

// Rows of activations as a product wants them.
struct InputRows {
  int64_t count;
  const float* floats;     // [count, cols]
  const std::byte* tiles;  // the same of 8 bits (q8_tiles.h), for weights in x16; else null
};

// The activations of a step: converted once, for all weights that they meet.
class Activations {
 public:
  Activations(const ProductIsa& isa, int64_t max_rows, int64_t cols)
      : x16_(isa.x16), max_rows_(max_rows), cols_(cols) {}
  // Working memory, a multiple of 64.
  int64_t scratch_bytes() const;

  // Rows first .. first + count - 1 of x [.., cols], which meet weights together.
  InputRows Rows(const float* x, int64_t first, int64_t count, const std::byte* scratch) const;
  // Makes these ready, on this thread or on all of them.
  void Prepare(const float* x, int64_t first, int64_t count, std::byte* scratch) const;
  void Prepare(const float* x, int64_t count, std::byte* scratch, const Threads& threads) const;

 private:
  void PrepareTiles(const float* x, const TileSplit& tiles, int64_t begin, int64_t end,
                    std::byte* out) const;

  const X16Isa* x16_;
  int64_t max_rows_, cols_;
};

// Calls body(rows, first) for the runs of rows that meet a panel in one pass over it: tiles, or all
// rows where a panel is decoded.
template <typename Body>
void ForEachPass(const InputRows& x, const WeightMatrix& w, const Body& body) {
  if (x.tiles == nullptr) return body(x, 0);
  const TileSplit tiles(x.count);
  for (int64_t t = 0; t < tiles.count(); ++t) {
    const int64_t first = tiles.begin(t);
    body(InputRows{tiles.height(t), x.floats + first * w.cols, x.tiles + Q8Bytes(first, w.cols)},
         first);
  }
}

// Some rows of a weight that meet the same rows of activations, in one pass or several.
class PanelRows {
 public:
  // Rows begin..end of w, which meet `x_rows` rows of activations altogether. `scratch` holds
  // PanelSplit::scratch_floats() while this is in use.
  PanelRows(const WeightMatrix& w, int64_t begin, int64_t end, int64_t x_rows, float* scratch);

  // y[i, j] = x[i,:] . w[begin + j,:] + bias[begin + j].
  void Multiply(const InputRows& x, float* y, int64_t y_stride) const;

 private:
  void MultiplyFileRows(const InputRows& x, float* y, int64_t y_stride) const;

  const WeightMatrix& w_;
  int64_t begin_, end_;
  float* scratch_;
  X16Rows x16_ = {};  // if the layout is x16
};

// How many rows of a panel of w a PanelRows can take with the scratch that it has.
int64_t RowsAtATime(const WeightMatrix& w, int64_t x_rows);

// y[i, begin..end) = x[i,:] . w[j,:] + bias[j] for the weight rows begin..end of a panel and all
// rows of x; `y` points at column `begin` of its first row. `scratch` holds
// PanelSplit::scratch_floats().
void MultiplyPanel(const WeightMatrix& w, int64_t begin, int64_t end, const InputRows& x, float* y,
                   int64_t y_stride, float* scratch);

// The values of one row.
void DecodeRow(const WeightMatrix& w, int64_t row, float* out);

}  // namespace sluice::cpu
