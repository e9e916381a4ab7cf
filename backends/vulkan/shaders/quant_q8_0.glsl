// 34 bytes for 32 elements: scale, signed bytes.
void DecodeQ8_0(uint row, uint group, out vec4 v[4]) {
  const uint block = row + group / 2 * 34, at = block + 2 + group % 2 * 16;
  const float d = Half(block);
  for (uint j = 0; j < 4; ++j) v[j] = d * Signed(Bytes(at + 4 * j));
}
