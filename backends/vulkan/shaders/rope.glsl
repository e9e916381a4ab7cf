// The angle of a rotary embedding, exact for every position: in turns, as a fraction of 32 bits,
// since whole turns do not matter and integers wrap where they should. No device's sin is asked.

// The top 32 bits of a fraction of 64 bits, times a position, modulo one turn.
uint Turns(int position, uvec2 speed) {
  uint high, low;
  umulExtended(uint(abs(position)), speed.y, high, low);
  const uint turns = uint(abs(position)) * speed.x + high;
  return position < 0 ? -turns : turns;
}

// A fraction of 64 bits divided by a positive float, by long division with bytes as digits.
uvec2 Divide(uvec2 speed, float by) {
  const uint bits = floatBitsToUint(by);
  const uint divisor = bits & 0x7fffffu | 0x800000u;  // 24 bits; by = divisor * 2^(exponent - 150)
  uint rest = 0;
  uvec3 quotient = uvec3(0);  // speed * 2^24 / divisor, at most twice the speed; x has the top bits
  for (uint i = 0; i < 11; ++i) {
    const uint word = i < 4 ? speed.x : i < 8 ? speed.y : 0;
    const uint digit = word >> 24 - 8 * (i % 4) & 255u;
    rest = rest << 8 | digit;
    quotient.x = quotient.x << 8 | quotient.y >> 24;
    quotient.y = quotient.y << 8 | quotient.z >> 24;
    quotient.z = quotient.z << 8 | rest / divisor;
    rest %= divisor;
  }
  // The exponent's shift, bit by bit: factors are near 1.
  for (int shift = int(bits >> 23) - 126; shift > 0; --shift) {
    quotient.z = quotient.z >> 1 | quotient.y << 31;
    quotient.y = quotient.y >> 1 | quotient.x << 31;
    quotient.x >>= 1;
  }
  for (int shift = 126 - int(bits >> 23); shift > 0; --shift) {
    quotient.y = quotient.y << 1 | quotient.z >> 31;
    quotient.z <<= 1;
  }
  return quotient.yz;
}

// Cosine and sine of a fraction of a turn: the quadrant, and Taylor series within 1/8 turn of its
// middle, where the first term left out is below 3e-9.
vec2 CosSin(uint turns) {
  const uint quadrant = turns + 0x20000000u >> 30;
  const float x = float(int(turns - (quadrant << 30))) * 1.4629180792671596e-9;  // 2 pi / 2^32
  const float xx = x * x;
  const float s =
      x * (1 + xx * (-1.0 / 6 + xx * (1.0 / 120 + xx * (-1.0 / 5040 + xx * (1.0 / 362880)))));
  const float c =
      1 + xx * (-0.5 + xx * (1.0 / 24 + xx * (-1.0 / 720 + xx * (1.0 / 40320 - xx / 3628800))));
  switch (quadrant & 3u) {
    case 0: return vec2(c, s);
    case 1: return vec2(-s, c);
    case 2: return vec2(-c, -s);
    default: return vec2(s, -c);
  }
}
