// 22 bytes for 32 elements: scale, fifth bits, nibbles as in q4_0.
void DecodeQ5_0(uint row, uint group, out vec4 v[4]) {
  const uint block = row + group / 2 * 22;
  const float d = Half(block);
  for (uint j = 0; j < 4; ++j) v[j] = d * (Quants5(block + 2, block + 6, group % 2, j) - 16);
}
