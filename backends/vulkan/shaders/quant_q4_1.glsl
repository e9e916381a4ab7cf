// 20 bytes for 32 elements: scale, minimum, nibbles as in q4_0.
void DecodeQ4_1(uint row, uint group, out vec4 v[4]) {
  const uint block = row + group / 2 * 20, shift = group % 2 * 4;
  const float d = Half(block), m = Half(block + 2);
  for (uint j = 0; j < 4; ++j) v[j] = d * vec4(Bytes(block + 4 + 4 * j) >> shift & 15u) + m;
}
