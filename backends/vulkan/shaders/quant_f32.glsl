float Float(uint i) { return float_weights[matrix].floats[i]; }
void DecodeF32(uint row, uint group, out vec4 v[4]) {
  const uint at = (row >> 2) + 16 * group;
  for (uint j = 0; j < 4; ++j) {
    v[j] = vec4(0);
    if (j >= QuadsIn(group)) continue;
    const uint i = at + 4 * j;
    v[j] = vec4(Float(i), Float(i + 1), Float(i + 2), Float(i + 3));
  }
}
