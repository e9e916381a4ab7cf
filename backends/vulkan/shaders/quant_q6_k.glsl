// 210 bytes for 256 elements: low nibbles, high pairs of bits, signed scales of groups of 16, scale
// of the block.
void DecodeQ6_K(uint row, uint group, out vec4 v[4]) {
  const uint block = row + group / 16 * 210, part = group % 16;
  const uint upper = part / 8, quarter = part % 8 / 2;
  const float scale = Half(block + 208) * Signed(Byte(block + 192 + part));
  const uint low_at = block + 64 * upper + quarter % 2 * 32 + part % 2 * 16;
  const uint high_at = block + 128 + 32 * upper + part % 2 * 16;
  for (uint j = 0; j < 4; ++j) {
    const uvec4 low = Bytes(low_at + 4 * j) >> quarter / 2 * 4 & 15u;
    const uvec4 high = Bytes(high_at + 4 * j) >> 2 * quarter & 3u;
    v[j] = scale * (vec4(low | high << 4) - 32);
  }
}
