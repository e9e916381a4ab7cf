layout(std430, binding = 1) readonly buffer Floats { float floats[]; };
uint RowBytes() { return 4 * columns; }
void Decode16(uint row, uint group, out vec4 v[4]) {
  const uint at = (row >> 2) + 16 * group;
  for (uint j = 0; j < 4; ++j) {
    v[j] = vec4(0);
    if (j >= QuadsIn(group)) continue;
    v[j] = vec4(floats[at + 4 * j], floats[at + 4 * j + 1], floats[at + 4 * j + 2],
                floats[at + 4 * j + 3]);
  }
}
