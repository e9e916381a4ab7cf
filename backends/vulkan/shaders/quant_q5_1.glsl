// 24 bytes for 32 elements: scale, minimum, fifth bits, nibbles as in q4_0.
void DecodeQ5_1(uint row, uint group, out vec4 v[4]) {
  const uint block = row + group / 2 * 24;
  const float d = Half(block), m = Half(block + 2);
  for (uint j = 0; j < 4; ++j) v[j] = d * Quants5(block + 4, block + 8, group % 2, j) + m;
}
