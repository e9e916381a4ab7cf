// The conversions are compared with the definitions of the formats, in double arithmetic: every
// 16-bit value one way; every boundary of rounding and a sweep of all floats the other way.
#include "graph/formats/half.h"

#include <bit>
#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace sluice {
namespace {

uint32_t Bits(float value) { return std::bit_cast<uint32_t>(value); }

// IEEE 754-2019, 3.4: the value of a finite binary16.
double F16Definition(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

constexpr uint16_t kF16Infinity = 0x7c00;

// The nearest binary16 of a non-negative float, ties to the even mantissa. 2^16, which would
// follow the largest finite value, stands for infinity.
uint16_t NearestF16(float value) {
  uint32_t low = 0;
  uint32_t high = kF16Infinity;
  const auto at = [](uint32_t bits) { return F16Definition(static_cast<uint16_t>(bits)); };
  if (value >= at(high)) return kF16Infinity;
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    (at(middle) <= value ? low : high) = middle;
  }
  const double below = value - at(low);
  const double above = at(high) - value;
  if (below == above) return static_cast<uint16_t>(low % 2 == 0 ? low : high);
  return static_cast<uint16_t>(below < above ? low : high);
}

void ExpectNearestF16(float magnitude) {
  const uint16_t expected = NearestF16(magnitude);
  ASSERT_EQ(F16FromF32(magnitude), expected) << magnitude;
  ASSERT_EQ(F16FromF32(-magnitude), expected | 0x8000) << -magnitude;
}

TEST(HalfTest, EveryF16DecodesToItsDefinition) {
  for (uint32_t i = 0; i < 0x10000; ++i) {
    const auto half = static_cast<uint16_t>(i);
    const float decoded = F32FromF16(half);
    ASSERT_EQ(std::signbit(decoded), (half & 0x8000) != 0) << std::hex << i;
    if ((half & 0x7fff) > kF16Infinity) {
      ASSERT_TRUE(std::isnan(decoded)) << std::hex << i;
    } else if ((half & 0x7fff) == kF16Infinity) {
      ASSERT_TRUE(std::isinf(decoded)) << std::hex << i;
    } else {
      ASSERT_EQ(decoded, F16Definition(half)) << std::hex << i;
    }
  }
}

TEST(HalfTest, EveryF16ComesBack) {
  for (uint32_t i = 0; i < 0x10000; ++i) {
    const auto half = static_cast<uint16_t>(i);
    const bool is_nan = (half & 0x7fff) > kF16Infinity;
    // Signalling NaNs come back quiet.
    ASSERT_EQ(F16FromF32(F32FromF16(half)), is_nan ? half | 0x200 : half) << std::hex << i;
  }
}

TEST(HalfTest, EveryF16BoundaryRoundsToNearestEven) {
  for (uint16_t half = 0; half < kF16Infinity; ++half) {
    const auto next = static_cast<uint16_t>(half + 1);
    // Exact in binary32, which has more than one bit to spare.
    const auto tie = static_cast<float>((F16Definition(half) + F16Definition(next)) / 2);
    ExpectNearestF16(static_cast<float>(F16Definition(half)));
    ExpectNearestF16(std::nextafter(tie, 0.0f));
    ExpectNearestF16(tie);
    ExpectNearestF16(std::nextafter(tie, 1e6f));
  }
}

TEST(HalfTest, SweepOfFloatsRoundsToNearestF16) {
  // A prime stride, so that all exponents and all low bits occur: a million values from zero to
  // the largest float, subnormals among them.
  for (uint32_t bits = 0; bits < 0x7f800000u; bits += 2039) {
    ExpectNearestF16(std::bit_cast<float>(bits));
  }
}

TEST(HalfTest, F16OverflowsToInfinityAndKeepsNan) {
  EXPECT_EQ(F16FromF32(65504.0f), 0x7bff);
  EXPECT_EQ(F16FromF32(std::nextafter(65520.0f, 0.0f)), 0x7bff);
  EXPECT_EQ(F16FromF32(65520.0f), 0x7c00);
  EXPECT_EQ(F16FromF32(-std::numeric_limits<float>::max()), 0xfc00);
  EXPECT_EQ(F16FromF32(std::numeric_limits<float>::infinity()), 0x7c00);
  // NaNs whose payload lies in the bits that are cut off, and full ones.
  for (const uint32_t nan : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffc00000u}) {
    const uint16_t half = F16FromF32(std::bit_cast<float>(nan));
    EXPECT_GT(half & 0x7fff, kF16Infinity) << std::hex << nan;
    EXPECT_EQ(half >> 15, nan >> 31) << std::hex << nan;
  }
}

TEST(HalfTest, EveryBf16IsTheUpperHalfOfAFloat) {
  for (uint32_t i = 0; i < 0x10000; ++i) {
    ASSERT_EQ(Bits(F32FromBf16(static_cast<uint16_t>(i))), i << 16);
  }
}

TEST(HalfTest, EveryBf16BoundaryRoundsToNearestEven) {
  for (uint32_t i = 0; i < 0x10000; ++i) {
    if ((i & 0x7fff) >= 0x7f80) continue;  // infinities and NaNs
    const uint32_t exact = i << 16;
    const auto encode = [](uint32_t bits) { return Bf16FromF32(std::bit_cast<float>(bits)); };
    ASSERT_EQ(encode(exact), i);
    ASSERT_EQ(encode(exact | 0x7fffu), i);
    ASSERT_EQ(encode(exact | 0x8000u), i + i % 2);
    ASSERT_EQ(encode(exact | 0x8001u), i + 1);
    ASSERT_EQ(encode(exact | 0xffffu), i + 1);
  }
}

TEST(HalfTest, Bf16KeepsInfinityAndNan) {
  EXPECT_EQ(Bf16FromF32(std::numeric_limits<float>::infinity()), 0x7f80);
  EXPECT_EQ(Bf16FromF32(-std::numeric_limits<float>::infinity()), 0xff80);
  EXPECT_EQ(Bf16FromF32(std::numeric_limits<float>::max()), 0x7f80);
  for (const uint32_t nan : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {
    const uint16_t half = Bf16FromF32(std::bit_cast<float>(nan));
    EXPECT_GT(half & 0x7fff, 0x7f80) << std::hex << nan;
    EXPECT_EQ(half >> 15, nan >> 31) << std::hex << nan;
  }
}

}  // namespace
}  // namespace sluice
