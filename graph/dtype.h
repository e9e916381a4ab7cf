// Element types of tensors: plain numbers and every GGML block format.
//
// The table in dtype.cc is the single source of truth for a format's name, GGML type id and
// block geometry; nothing else in the project spells these numbers.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// Order is free: it is neither GGML's numbering nor stored in any file.
enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF64,
  kI8,
  kI16,
  kI32,
  kI64,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ8_1,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kQ8_K,
  kIQ1_S,
  kIQ1_M,
  kIQ2_XXS,
  kIQ2_XS,
  kIQ2_S,
  kIQ3_XXS,
  kIQ3_S,
  kIQ4_NL,
  kIQ4_XS,
  kTQ1_0,
  kTQ2_0,
  kMXFP4,
  kNVFP4,
  kQ1_0,
  kQ2_0,
};

struct DTypeInfo {
  DType dtype;
  absl::string_view name;      // as printed in graph text: "f32", "q4_k", "iq2_xxs"
  int ggml_id;                 // value in a GGUF tensor record
  int64_t elements_per_block;  // 1 for plain numbers; innermost dimensions are multiples of it
  int64_t bytes_per_block;
};

// Every dtype, in enumeration order.
absl::Span<const DTypeInfo> AllDTypes();
const DTypeInfo& Info(DType dtype);
inline absl::string_view Name(DType dtype) { return Info(dtype).name; }

// nullopt where no dtype has that name or id (GGML's removed ids 4, 5, 31-33, 36-38 among them).
std::optional<DType> DTypeFromName(absl::string_view name);
std::optional<DType> DTypeFromGgmlId(uint32_t id);

// f32, f16, bf16: one element per block, decodable without a scale.
bool IsPlainFloat(DType dtype);
bool IsInteger(DType dtype);
// More than one element per block: the GGML quantised formats.
inline bool IsBlockFormat(DType dtype) { return Info(dtype).elements_per_block > 1; }

// Bytes of `elements` contiguous elements, which must be a non-negative multiple of the block
// size. nullopt if it is not, or if the product does not fit into int64_t.
std::optional<int64_t> ByteSize(DType dtype, int64_t elements);

}  // namespace sluice
