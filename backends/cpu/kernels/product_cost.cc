#include "backends/cpu/kernels/product_cost.h"

#include <algorithm>

#include "absl/strings/string_view.h"
#include "backends/cpu/kernels/x16_product.h"
#include "backends/kernel.h"
#include "graph/evaluate.h"

namespace sluice::cpu {
namespace {

// Nanoseconds of one thread per weight, measured with weights of 4096 x 1024 that are in no cache
// on a core of an AMD EPYC (Zen 4); how is in docs/performance.md. They are taken for any machine:
// what counts is which kernel is the faster one, and by how much.

// A run of products: a part that is the same for any number of rows of activations, and one per
// row.
struct Rates {
  double once;
  double per_row;
  double Of(int64_t rows) const { return once + per_row * static_cast<double>(rows); }
};

// Decoding from the file's blocks. Nothing competes for the formats that are not here.
struct DecodingRate {
  DType dtype;
  double nanoseconds;
};
constexpr DecodingRate kFileDecoding[] = {{DType::kF32, 0},     {DType::kQ4_0, 0.36},
                                          {DType::kQ4_K, 0.26}, {DType::kQ5_K, 0.32},
                                          {DType::kQ6_K, 0.38}, {DType::kQ8_0, 0.22}};
constexpr double kOtherDecoding = 0.4;

// oneDNN's GEMM, per row: 108 GFLOP/s. From 16 rows on it copies a weight that stands by rows.
constexpr double kGemm = 0.0185;
constexpr double kGemmCopy = 0.6;
constexpr int64_t kGemmCopyRows = 16;

// x16, by instruction set; codes of 8 bits need more where products of pairs do not fit 16 bits.
struct X16Rates {
  absl::string_view isa;
  Rates narrow;
  Rates wide;
};
constexpr X16Rates kX16[] = {{"avx512vnni", {0.015, 0.0065}, {0.015, 0.0065}},
                             {"avx512", {0.015, 0.0117}, {0.020, 0.0230}},
                             {"avx2", {0.015, 0.0150}, {0.020, 0.0250}},
                             {"portable", {0.050, 0.2900}, {0.050, 0.2900}}};

// What all threads together read from memory.
constexpr double kBytesPerSecond = 42e9;

double FileNanoseconds(DType dtype, int64_t m) {
  const auto* rate = std::find_if(std::begin(kFileDecoding), std::end(kFileDecoding),
                                  [&](const DecodingRate& r) { return r.dtype == dtype; });
  const double decoding = rate != std::end(kFileDecoding) ? rate->nanoseconds : kOtherDecoding;
  const double copy = m >= kGemmCopyRows ? kGemmCopy : 0;
  return Rates{decoding + copy, kGemm}.Of(m);
}

double X16Nanoseconds(const X16Isa& isa, const X16Format& format, int64_t m) {
  const auto* rates = std::find_if(std::begin(kX16), std::end(kX16),
                                   [&](const X16Rates& r) { return r.isa == isa.name; });
  return (format.code_bits == 8 ? rates->wide : rates->narrow).Of(m);
}

// Seconds of all threads, or what memory takes.
double Seconds(double nanoseconds, double weights, int64_t bytes, const proto::DeviceCaps& caps) {
  return std::max(nanoseconds * 1e-9 * weights / std::max(caps.threads(), 1),
                  static_cast<double>(bytes) / kBytesPerSecond);
}

int64_t RowsOf(const Value& value, const SymbolValues& bounds) {
  const absl::StatusOr<TensorView> view = ViewOf(value.type(), bounds);
  return view.ok() ? view->rows() : 0;
}

}  // namespace

double ProductSeconds(Layout layout, DType dtype, int64_t rows, int64_t cols, int64_t m,
                      const proto::DeviceCaps& caps) {
  const double weights = static_cast<double>(rows) * static_cast<double>(cols);
  if (layout == Layout::kFile) {
    const int64_t bytes = ByteSize(dtype, rows * cols).value_or(0);
    return Seconds(FileNanoseconds(dtype, m), weights, bytes, caps);
  }
  const X16Format& format = kX16Formats[X16FormatIndex(dtype)];
  return Seconds(X16Nanoseconds(X16IsaFor(caps), format, m), weights,
                 X16MatrixBytes(format, rows, cols), caps);
}

Meetings LinearMeetings(const Value& x, const SymbolValues& bounds) {
  return {1, RowsOf(x, bounds)};
}

// Every expert that can be used is, and all have equally many rows.
Meetings GroupedMeetings(const Value& rows, const Value& offsets, const SymbolValues& bounds) {
  const int64_t count = RowsOf(rows, bounds);
  const int64_t experts = offsets.type().shape[0].factor() - 1;
  const int64_t used = std::min(count, experts);
  return {static_cast<double>(used), used > 0 ? (count + used - 1) / used : 0};
}

Meetings IndexedMeetings(const Node& node, const SymbolValues& bounds) {
  return {static_cast<double>(RowsOf(*node.result(0), bounds)), 1};
}

double ProductsCost(const Node& node, Layout layout, const Meetings& meetings,
                    const proto::DeviceCaps& caps) {
  double seconds = 0;
  for (size_t i = 0; i < node.operands().size(); ++i) {
    if (!IsPackable(node.op(), i)) continue;
    const TensorType& type = node.operand(i)->type();
    const size_t rank = type.shape.size();
    seconds += meetings.count * ProductSeconds(layout, type.dtype, type.shape[rank - 2].factor(),
                                               type.shape[rank - 1].factor(), meetings.rows, caps);
  }
  return seconds;
}

}  // namespace sluice::cpu
