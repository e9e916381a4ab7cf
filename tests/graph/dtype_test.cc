#include "graph/dtype.h"

#include <limits>
#include <optional>

#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(DTypeTest, NamesAndIdsFindTheirDType) {
  EXPECT_GE(AllDTypes().size(), 35u);
  for (const DTypeInfo& info : AllDTypes()) {
    EXPECT_EQ(DTypeFromName(info.name), info.dtype) << info.name;
    EXPECT_EQ(DTypeFromGgmlId(static_cast<uint32_t>(info.ggml_id)), info.dtype) << info.name;
    EXPECT_EQ(Name(info.dtype), info.name);
    EXPECT_GT(info.elements_per_block, 0) << info.name;
    EXPECT_GT(info.bytes_per_block, 0) << info.name;
  }
}

TEST(DTypeTest, UnknownNamesAndIdsHaveNone) {
  for (const char* name : {"", "F32", "q4_k_m", "q4", "f32 ", "float"}) {
    EXPECT_EQ(DTypeFromName(name), std::nullopt) << name;
  }
  // Ids that GGML has removed, the first unused one, and the extremes.
  for (const uint32_t id : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 1000u, 0x80000000u, ~0u}) {
    EXPECT_EQ(DTypeFromGgmlId(id), std::nullopt) << id;
  }
}

TEST(DTypeTest, EveryDTypeIsOfOneKind) {
  for (const DTypeInfo& info : AllDTypes()) {
    const int kinds = IsPlainFloat(info.dtype) + IsInteger(info.dtype) + IsBlockFormat(info.dtype);
    // f64 is no weight format: it only appears in files.
    EXPECT_EQ(kinds, info.dtype == DType::kF64 ? 0 : 1) << info.name;
  }
}

TEST(DTypeTest, ByteSizeCountsBlocks) {
  EXPECT_EQ(ByteSize(DType::kF32, 0), 0);
  EXPECT_EQ(ByteSize(DType::kF32, 3), 12);
  EXPECT_EQ(ByteSize(DType::kBF16, 3), 6);
  EXPECT_EQ(ByteSize(DType::kQ4_0, 0), 0);
  EXPECT_EQ(ByteSize(DType::kQ4_0, 64), 36);
  EXPECT_EQ(ByteSize(DType::kQ6_K, 512), 420);
}

TEST(DTypeTest, ByteSizeRejectsPartialBlocksAndNegativeCounts) {
  for (const DTypeInfo& info : AllDTypes()) {
    EXPECT_EQ(ByteSize(info.dtype, -info.elements_per_block), std::nullopt) << info.name;
    EXPECT_EQ(ByteSize(info.dtype, std::numeric_limits<int64_t>::min()), std::nullopt) << info.name;
    if (info.elements_per_block == 1) continue;
    EXPECT_EQ(ByteSize(info.dtype, 1), std::nullopt) << info.name;
    EXPECT_EQ(ByteSize(info.dtype, info.elements_per_block - 1), std::nullopt) << info.name;
    EXPECT_EQ(ByteSize(info.dtype, info.elements_per_block + 1), std::nullopt) << info.name;
  }
}

TEST(DTypeTest, ByteSizeRejectsWhatDoesNotFit) {
  EXPECT_EQ(ByteSize(DType::kI8, kMax), kMax);
  EXPECT_EQ(ByteSize(DType::kF32, kMax / 4), kMax / 4 * 4);
  EXPECT_EQ(ByteSize(DType::kF32, kMax / 4 + 1), std::nullopt);
  EXPECT_EQ(ByteSize(DType::kF64, kMax), std::nullopt);
  // 34 bytes for 32 elements: the bytes overflow where the elements do not.
  EXPECT_EQ(ByteSize(DType::kQ8_0, kMax / 32 * 32), std::nullopt);
  EXPECT_EQ(ByteSize(DType::kQ8_0, kMax / 34 * 32), kMax / 34 * 34);
  EXPECT_EQ(ByteSize(DType::kQ8_0, (kMax / 34 + 1) * 32), std::nullopt);
}

}  // namespace
}  // namespace sluice
