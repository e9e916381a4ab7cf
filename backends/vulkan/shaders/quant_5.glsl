// Four quants of q5_0 and q5_1 from element 16 * part + 4 * j on: nibbles at `low`, the fifth bits
// of all 32 elements at `high`.
vec4 Quants5(uint high, uint low, uint part, uint j) {
  const uint bits = Word(high) | Word(high + 2) << 16;
  const uvec4 fifth = uvec4(bits) >> 16 * part + 4 * j + uvec4(0, 1, 2, 3) & 1u;
  return vec4(Bytes(low + 4 * j) >> 4 * part & 15u | fifth << 4);
}
