// 144 bytes for 256 elements: scales of the block, 12 bytes of scales of groups, nibbles.
void DecodeQ4_K(uint row, uint group, out vec4 v[4]) {
  const uint block = row + group / 16 * 144, part = group % 16, wide = part / 2;
  const vec2 scale = ScaleMin(block, wide);
  const uint at = block + 16 + wide / 2 * 32 + part % 2 * 16, shift = wide % 2 * 4;
  for (uint j = 0; j < 4; ++j) v[j] = scale.x * vec4(Bytes(at + 4 * j) >> shift & 15u) - scale.y;
}
