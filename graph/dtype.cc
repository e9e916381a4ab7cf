#include "graph/dtype.h"

#include <array>
#include <limits>

namespace sluice {
namespace {

// Geometry and ids: ggml.h and ggml-common.h of llama.cpp (ggml_type, block_* structures).
constexpr std::array kTable = {
    DTypeInfo{DType::kF32, "f32", 0, 1, 4},
    DTypeInfo{DType::kF16, "f16", 1, 1, 2},
    DTypeInfo{DType::kBF16, "bf16", 30, 1, 2},
    DTypeInfo{DType::kF64, "f64", 28, 1, 8},
    DTypeInfo{DType::kI8, "i8", 24, 1, 1},
    DTypeInfo{DType::kI16, "i16", 25, 1, 2},
    DTypeInfo{DType::kI32, "i32", 26, 1, 4},
    DTypeInfo{DType::kI64, "i64", 27, 1, 8},
    DTypeInfo{DType::kQ4_0, "q4_0", 2, 32, 18},
    DTypeInfo{DType::kQ4_1, "q4_1", 3, 32, 20},
    DTypeInfo{DType::kQ5_0, "q5_0", 6, 32, 22},
    DTypeInfo{DType::kQ5_1, "q5_1", 7, 32, 24},
    DTypeInfo{DType::kQ8_0, "q8_0", 8, 32, 34},
    DTypeInfo{DType::kQ8_1, "q8_1", 9, 32, 36},
    DTypeInfo{DType::kQ2_K, "q2_k", 10, 256, 84},
    DTypeInfo{DType::kQ3_K, "q3_k", 11, 256, 110},
    DTypeInfo{DType::kQ4_K, "q4_k", 12, 256, 144},
    DTypeInfo{DType::kQ5_K, "q5_k", 13, 256, 176},
    DTypeInfo{DType::kQ6_K, "q6_k", 14, 256, 210},
    DTypeInfo{DType::kQ8_K, "q8_k", 15, 256, 292},
    DTypeInfo{DType::kIQ1_S, "iq1_s", 19, 256, 50},
    DTypeInfo{DType::kIQ1_M, "iq1_m", 29, 256, 56},
    DTypeInfo{DType::kIQ2_XXS, "iq2_xxs", 16, 256, 66},
    DTypeInfo{DType::kIQ2_XS, "iq2_xs", 17, 256, 74},
    DTypeInfo{DType::kIQ2_S, "iq2_s", 22, 256, 82},
    DTypeInfo{DType::kIQ3_XXS, "iq3_xxs", 18, 256, 98},
    DTypeInfo{DType::kIQ3_S, "iq3_s", 21, 256, 110},
    DTypeInfo{DType::kIQ4_NL, "iq4_nl", 20, 32, 18},
    DTypeInfo{DType::kIQ4_XS, "iq4_xs", 23, 256, 136},
    DTypeInfo{DType::kTQ1_0, "tq1_0", 34, 256, 54},
    DTypeInfo{DType::kTQ2_0, "tq2_0", 35, 256, 66},
    DTypeInfo{DType::kMXFP4, "mxfp4", 39, 32, 17},
    DTypeInfo{DType::kNVFP4, "nvfp4", 40, 64, 36},
    DTypeInfo{DType::kQ1_0, "q1_0", 41, 128, 18},
    DTypeInfo{DType::kQ2_0, "q2_0", 42, 64, 18},
};

constexpr bool TableIsInEnumerationOrder() {
  for (size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<size_t>(kTable[i].dtype) != i) return false;
  }
  return true;
}
static_assert(TableIsInEnumerationOrder());
static_assert(kTable.back().dtype == DType::kQ2_0, "a dtype has no row");

}  // namespace

absl::Span<const DTypeInfo> AllDTypes() { return kTable; }

const DTypeInfo& Info(DType dtype) { return kTable[static_cast<size_t>(dtype)]; }

std::optional<DType> DTypeFromName(absl::string_view name) {
  for (const DTypeInfo& info : kTable) {
    if (info.name == name) return info.dtype;
  }
  return std::nullopt;
}

std::optional<DType> DTypeFromGgmlId(uint32_t id) {
  for (const DTypeInfo& info : kTable) {
    if (static_cast<uint32_t>(info.ggml_id) == id) return info.dtype;
  }
  return std::nullopt;
}

bool IsPlainFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

bool IsInteger(DType dtype) {
  return dtype == DType::kI8 || dtype == DType::kI16 || dtype == DType::kI32 ||
         dtype == DType::kI64;
}

std::optional<int64_t> ByteSize(DType dtype, int64_t elements) {
  const DTypeInfo& info = Info(dtype);
  if (elements < 0 || elements % info.elements_per_block != 0) return std::nullopt;
  const int64_t blocks = elements / info.elements_per_block;
  if (blocks > std::numeric_limits<int64_t>::max() / info.bytes_per_block) return std::nullopt;
  return blocks * info.bytes_per_block;
}

}  // namespace sluice
