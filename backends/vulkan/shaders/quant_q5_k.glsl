// 176 bytes for 256 elements: as q4_k, and 32 bytes with the fifth bits before the nibbles.
void DecodeQ5_K(uint row, uint group, out vec4 v[4]) {
  const uint block = row + group / 16 * 176, part = group % 16, wide = part / 2;
  const vec2 scale = ScaleMin(block, wide);
  const uint high_at = block + 16 + part % 2 * 16;
  const uint at = block + 48 + wide / 2 * 32 + part % 2 * 16, shift = wide % 2 * 4;
  for (uint j = 0; j < 4; ++j) {
    const uvec4 low = Bytes(at + 4 * j) >> shift & 15u;
    const uvec4 high = Bytes(high_at + 4 * j) >> wide & 1u;
    v[j] = scale.x * vec4(low | high << 4) - scale.y;
  }
}
