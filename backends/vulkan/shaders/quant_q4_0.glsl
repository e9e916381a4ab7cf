// 18 bytes for 32 elements: scale, low nibbles for the first 16, high ones for the others.
void DecodeQ4_0(uint row, uint group, out vec4 v[4]) {
  const uint block = row + group / 2 * 18, shift = group % 2 * 4;
  const float d = Half(block);
  for (uint j = 0; j < 4; ++j) v[j] = d * (vec4(Bytes(block + 2 + 4 * j) >> shift & 15u) - 8);
}
