void DecodeF16(uint row, uint group, out vec4 v[4]) {
  const uint at = row + 32 * group;
  for (uint j = 0; j < 4; ++j) {
    v[j] = vec4(0);
    if (j >= QuadsIn(group)) continue;
    v[j] = vec4(Half(at + 8 * j), Half(at + 8 * j + 2), Half(at + 8 * j + 4), Half(at + 8 * j + 6));
  }
}
