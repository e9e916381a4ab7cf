// 136 bytes for 256 elements: scale of the block, 6-bit scales of groups of 32 in two parts,
// nibbles as in iq4_nl.
void DecodeIQ4_XS(uint row, uint group, out vec4 v[4]) {
  const uint block = row + group / 16 * 136, wide = group % 16 / 2, shift = group % 2 * 4;
  const uint packed = Byte(block + 4 + wide / 2) >> 4 * (wide % 2) & 15u |
                      (Word(block + 2) >> 2 * wide & 3u) << 4;
  const float scale = Half(block) * (float(packed) - 32);
  const uint at = block + 8 + 16 * wide;
  for (uint j = 0; j < 4; ++j) v[j] = scale * Iq4Values(Bytes(at + 4 * j) >> shift & 15u);
}
