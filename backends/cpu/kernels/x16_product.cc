#include "backends/cpu/kernels/x16_product.h"

#include <algorithm>

#include "backends/cpu/onednn.h"

namespace sluice::cpu {
namespace {

bool Has(const proto::DeviceCaps& caps, const X16Isa& isa) {
  return std::all_of(std::begin(isa.needs), std::end(isa.needs), [&](const char* feature) {
    const auto& features = caps.features();
    return feature == nullptr ||
           std::find(features.begin(), features.end(), feature) != features.end();
  });
}

// The sums of n rows of x over each group of columns: [group][n].
void SumGroups(const float* x, int64_t n, int64_t cols, int group, float* sums) {
  for (int64_t first = 0; first < cols; first += group) {
    for (int64_t i = 0; i < n; ++i) {
      const float* part = x + i * cols + first;
      float lanes[8] = {};  // so that the additions do not wait for each other
      for (int c = 0; c < group; c += 8) {
        for (int lane = 0; lane < 8; ++lane) lanes[lane] += part[c + lane];
      }
      *sums++ = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
                ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
    }
  }
}

// The sums of x take less of `scratch` than one decoded strip would: up to 32 rows, a sum for every
// 16 columns at least, against 16 rows.
void MultiplyDirectly(const X16Matrix& w, int64_t begin, int64_t end, const float* x, int64_t m,
                      float* y, int64_t y_stride, float* scratch) {
  const int64_t groups = w.cols / w.group();
  for (int64_t i = 0; w.has_mins() && i < m; i += kX16MaxPass) {
    SumGroups(x + i * w.cols, std::min<int64_t>(kX16MaxPass, m - i), w.cols, w.group(),
              scratch + i * groups);
  }
  for (int64_t row = begin; row < end; row += kX16Rows) {
    const std::byte* strip = w.StripOf(row);
    const int64_t width = std::min<int64_t>(kX16Rows, end - row);
    // All rows of x while the strip is in cache.
    for (int64_t i = 0; i < m; i += kX16MaxPass) {
      const int64_t n = std::min<int64_t>(kX16MaxPass, m - i);
      float products[kX16MaxPass * kX16Rows];
      w.kernel().multiply[n - 1](strip, w.cols, x + i * w.cols, w.cols, scratch + i * groups,
                                 products);
      for (int64_t j = 0; j < n; ++j) {
        std::copy_n(products + j * kX16Rows, width, y + (i + j) * y_stride + row - begin);
      }
    }
  }
}

// Decoded strips stand side by side, as the columns of a [cols, rows] matrix.
void MultiplyDecoded(const X16Matrix& w, int64_t begin, int64_t end, const float* x, int64_t m,
                     float* y, int64_t y_stride, float* scratch) {
  const int64_t stride = (end - begin + kX16Rows - 1) / kX16Rows * kX16Rows;
  for (int64_t row = begin; row < end; row += kX16Rows) {
    w.kernel().decode(w.StripOf(row), w.cols, scratch + row - begin, stride);
  }
  Multiply(m, end - begin, w.cols, x, w.cols, scratch, stride, y, y_stride);
}

}  // namespace

int X16FormatIndex(DType dtype) {
  const auto* found = std::find_if(std::begin(kX16Formats), std::end(kX16Formats),
                                   [&](const X16Format& f) { return f.dtype == dtype; });
  return found != std::end(kX16Formats) ? static_cast<int>(found - kX16Formats) : -1;
}

int64_t X16StripBytes(const X16Format& format, int64_t cols) {
  return cols / format.BlockColumns() * format.BlockBytes();
}

int64_t X16MatrixBytes(const X16Format& format, int64_t rows, int64_t cols) {
  return (rows + kX16Rows - 1) / kX16Rows * X16StripBytes(format, cols);
}

const std::byte* X16Matrix::StripOf(int64_t row) const {
  return data + row / kX16Rows * X16StripBytes(kX16Formats[format], cols);
}

const X16Isa& X16IsaFor(const proto::DeviceCaps& caps) {
  for (const X16Isa* isa : {kX16Avx512, kX16Avx2}) {
    if (isa != nullptr && Has(caps, *isa)) return *isa;
  }
  return *kX16Portable;
}

void MultiplyX16(const X16Matrix& w, int64_t begin, int64_t end, const float* x, int64_t m,
                 float* y, int64_t y_stride, float* scratch) {
  const auto multiply = m <= w.isa->max_rows ? MultiplyDirectly : MultiplyDecoded;
  multiply(w, begin, end, x, m, y, y_stride, scratch);
}

}  // namespace sluice::cpu
