// 84 bytes for 256 elements: a byte of scale and minimum for each group of 16, pairs of bits,
// scales of the block.
void DecodeQ2_K(uint row, uint group, out vec4 v[4]) {
  const uint block = row + group / 16 * 84, part = group % 16, packed = Byte(block + part);
  const float scale = Half(block + 80) * float(packed & 15u);
  const float low = Half(block + 82) * float(packed >> 4);
  const uint at = block + 16 + part / 8 * 32 + part % 2 * 16, shift = part % 8 / 2 * 2;
  for (uint j = 0; j < 4; ++j) v[j] = scale * vec4(Bytes(at + 4 * j) >> shift & 3u) - low;
}
