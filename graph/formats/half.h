// Conversions between float32 and the 16-bit floating-point formats. They give the same bits on
// every machine and in every denormals-are-zero mode. Round to nearest, ties to even; a NaN stays
// a NaN of the same sign. Without branches, so that loops over them vectorise.
#pragma once

#include <bit>
#include <cstdint>

namespace sluice {

// `condition ? yes : no` by masking: compilers turn the operator into a branch where one side is a
// floating-point operation, which might trap.
inline uint32_t SelectBits(bool condition, uint32_t yes, uint32_t no) {
  return no ^ ((yes ^ no) & (0u - static_cast<uint32_t>(condition)));
}

inline float F32FromBf16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline uint16_t Bf16FromF32(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t quiet_nan = bits | 0x400000u;
  const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<uint16_t>(SelectBits(is_nan, quiet_nan, rounded) >> 16);
}

// IEEE 754-2019 binary16 to binary32: exact.
inline float F32FromF16(uint16_t half) {
  constexpr uint32_t kRebias = (127u - 15u) << 23;
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  const uint32_t exponent = magnitude & 0x0f800000u;
  // A subnormal is mantissa * 2^-24: put the mantissa under an implicit one, then take that one
  // away. Neither operand nor result is subnormal in binary32.
  const float implicit_one = 0x1p-14f;
  const float with_one =
      std::bit_cast<float>(std::bit_cast<uint32_t>(implicit_one) | (magnitude & 0x007fe000u));
  const uint32_t subnormal = std::bit_cast<uint32_t>(with_one - implicit_one);
  const uint32_t normal = magnitude + kRebias;
  const uint32_t infinity_or_nan = normal + kRebias;
  const uint32_t finite = SelectBits(exponent == 0, subnormal, normal);
  return std::bit_cast<float>(sign | SelectBits(exponent == 0x0f800000u, infinity_or_nan, finite));
}

inline uint16_t F16FromF32(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  // Below 2^-14 the result is a multiple of 2^-24, the unit in the last place of 0.5f: adding
  // lets the float adder do the rounding.
  const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
  const uint32_t subnormal = std::bit_cast<uint32_t>(aligned) - 0x3f000000u;
  const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  const uint32_t finite = SelectBits(magnitude < 0x38800000u, subnormal, normal);
  const uint32_t quiet_nan = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  const uint32_t special = SelectBits(magnitude > 0x7f800000u, quiet_nan, 0x7c00u);
  const bool rounds_to_finite = magnitude < 0x477ff000u;  // 65520, half way to 2^16
  return static_cast<uint16_t>(sign | SelectBits(rounds_to_finite, finite, special));
}

}  // namespace sluice
