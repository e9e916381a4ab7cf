// 18 bytes for 32 elements, as q4_0.
void DecodeIQ4_NL(uint row, uint group, out vec4 v[4]) {
  const uint block = row + group / 2 * 18, shift = group % 2 * 4;
  const float d = Half(block);
  for (uint j = 0; j < 4; ++j) v[j] = d * Iq4Values(Bytes(block + 2 + 4 * j) >> shift & 15u);
}
