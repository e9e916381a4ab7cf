// Floats of 16 bits from and to float32, to nearest, ties to even, whatever the device does.
float FromF16(uint bits) { return unpackHalf2x16(bits).x; }
float FromBf16(uint bits) { return uintBitsToFloat(bits << 16); }

uint ToF16(float x) {
  const uint all = floatBitsToUint(x);
  const uint sign = all >> 16 & 0x8000u;
  const uint bits = all & 0x7fffffffu;
  if (bits > 0x7f800000u) return sign | 0x7e00u;   // NaN
  if (bits >= 0x47800000u) return sign | 0x7c00u;  // 65536 and more
  // Below the smallest normal number: multiples of 2^-24.
  if (bits < 0x38800000u) return sign | uint(roundEven(uintBitsToFloat(bits) * 16777216.0));
  return sign | (bits + 0xfffu + (bits >> 13 & 1u) - 0x38000000u) >> 13;
}

uint ToBf16(float x) {
  const uint bits = floatBitsToUint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return bits >> 16 | 0x40u;  // NaN
  return bits + 0x7fffu + (bits >> 16 & 1u) >> 16;
}
