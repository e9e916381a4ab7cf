// 110 bytes for 256 elements: third bits, pairs of bits, 12 bytes of scales of groups of 16, scale
// of the block.
void DecodeQ3_K(uint row, uint group, out vec4 v[4]) {
  const uint block = row + group / 16 * 110, part = group % 16;
  const uint packed = Byte(block + 96 + part % 8) >> 4 * (part / 8) & 15u |
                      (Byte(block + 104 + part % 4) >> 2 * (part / 4) & 3u) << 4;
  const float scale = Half(block + 108) * (float(packed) - 32);
  const uint high_at = block + part % 2 * 16;
  const uint at = block + 32 + part / 8 * 32 + part % 2 * 16, shift = part % 8 / 2 * 2;
  for (uint j = 0; j < 4; ++j) {
    const uvec4 low = Bytes(at + 4 * j) >> shift & 3u;
    const uvec4 high = Bytes(high_at + 4 * j) >> part / 2 & 1u;
    v[j] = scale * (vec4(low | high << 2) - 4);
  }
}
