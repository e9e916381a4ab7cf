// TensorView: a concrete tensor in memory, as ops and kernels see it at run time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "graph/dtype.h"

namespace sluice {

// A non-owning view of a dense, row-major tensor. A weight may lie in several pieces, one per
// index of its outermost dimension (experts stored as separate tensors): then `slices` is set and
// `data` is null.
struct TensorView {
  DType dtype = DType::kF32;
  absl::InlinedVector<int64_t, 4> dims;
  std::byte* data = nullptr;
  absl::Span<const std::byte* const> slices;

  // False for an optional operand that was left out.
  bool present() const { return data != nullptr || !slices.empty(); }

  int64_t rank() const { return static_cast<int64_t>(dims.size()); }
  int64_t dim(int64_t i) const { return dims[static_cast<size_t>(i < 0 ? i + rank() : i)]; }
  int64_t elements() const {
    int64_t n = 1;
    for (int64_t d : dims) n *= d;
    return n;
  }
  // Innermost dimension and the number of rows of that length.
  int64_t cols() const { return dims.empty() ? 1 : dims.back(); }
  int64_t rows() const {
    int64_t n = 1;
    for (size_t i = 0; i + 1 < dims.size(); ++i) n *= dims[i];
    return n;
  }
  int64_t row_bytes() const {
    const DTypeInfo& info = Info(dtype);
    return cols() / info.elements_per_block * info.bytes_per_block;
  }
  int64_t bytes() const { return rows() * row_bytes(); }

  // Start of the sub-tensor at `index` of the outermost dimension.
  const std::byte* Slice(int64_t index) const {
    if (!slices.empty()) return slices[static_cast<size_t>(index)];
    return data + bytes() / dims.front() * index;
  }

  template <typename T>
  T* As() const {
    return reinterpret_cast<T*>(data);
  }
  float* f32() const { return As<float>(); }
  int32_t* i32() const { return As<int32_t>(); }
};

}  // namespace sluice
