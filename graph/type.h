// Types of values: dtype plus a shape whose dimensions may be symbolic.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graph/dtype.h"

namespace sluice {

// A constant, or a positive constant times a named symbol: `2048`, `tokens`, `tokens*8`.
class Dim {
 public:
  Dim(int64_t value) : factor_(value) {}  // NOLINT: a plain number is a dimension
  static Dim Symbol(absl::string_view name, int64_t factor = 1);

  bool is_constant() const { return symbol_.empty(); }
  int64_t factor() const { return factor_; }  // the value itself if constant
  const std::string& symbol() const { return symbol_; }

  // InvalidArgument if both are symbolic (a product of symbols is not a Dim) or on overflow.
  static absl::StatusOr<Dim> Product(const Dim& a, const Dim& b);
  // InvalidArgument unless `a` is a multiple of the constant `divisor` for every symbol value.
  static absl::StatusOr<Dim> Quotient(const Dim& a, int64_t divisor);

  std::string ToString() const;
  friend bool operator==(const Dim&, const Dim&) = default;

 private:
  int64_t factor_;
  std::string symbol_;
};

// Row-major, outermost first. At most 4 dimensions in practice.
inline constexpr size_t kMaxRank = 6;
using Shape = absl::InlinedVector<Dim, 4>;
std::string ToString(const Shape& shape);  // "[tokens,2048]"

// Product of all dimensions; 1 for a scalar. Errors as Dim::Product.
absl::StatusOr<Dim> ElementCount(const Shape& shape);

struct TensorType {
  DType dtype = DType::kF32;
  Shape shape;
  bool is_state = false;  // a buffer that lives across steps, e.g. a KV cache

  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
  std::string ToString() const;  // "f32[tokens,2048]", "state<f16[blocks,4,16,128]>"
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

// Values of symbols: upper bounds when compiling, actual sizes when running.
class SymbolValues {
 public:
  void Set(absl::string_view name, int64_t value);
  // -1 where the symbol has no value.
  int64_t Get(absl::string_view name) const;
  absl::StatusOr<int64_t> Evaluate(const Dim& dim) const;  // error names an unknown symbol
  absl::StatusOr<absl::InlinedVector<int64_t, 4>> Evaluate(const Shape& shape) const;
  absl::StatusOr<int64_t> EvaluateBytes(const TensorType& type) const;
  const std::vector<std::pair<std::string, int64_t>>& entries() const { return entries_; }

 private:
  std::vector<std::pair<std::string, int64_t>> entries_;  // a handful: a scan beats a hash
};

// Whether a value of a graph may have this type: at most kMaxRank dimensions, all positive, of
// symbols in `bounds`; rows of whole blocks; a size at the bounds that fits into 64 bits.
absl::Status CheckType(const TensorType& type, const SymbolValues& bounds);

}  // namespace sluice
