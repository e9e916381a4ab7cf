void DecodeBF16(uint row, uint group, out vec4 v[4]) {
  const uint at = row + 32 * group;
  for (uint j = 0; j < 4; ++j) {
    v[j] = vec4(0);
    if (j >= QuadsIn(group)) continue;
    v[j] = uintBitsToFloat(uvec4(Word(at + 8 * j), Word(at + 8 * j + 2), Word(at + 8 * j + 4),
                                 Word(at + 8 * j + 6)) << 16);
  }
}
