// Rows of x, `columns` long: quad `quad` of one, with zeros beyond its end.
#ifdef ODD
layout(std430, binding = x_binding) readonly buffer X { float x[]; };
vec4 QuadOfX(uint row, uint quad) {
  vec4 v = vec4(0);
  for (uint i = 0; i < 4; ++i) {
    const uint column = 4 * quad + i;
    if (column < columns) v[i] = x[row * columns + column];
  }
  return v;
}
#else
layout(std430, binding = x_binding) readonly buffer X { vec4 x[]; };
vec4 QuadOfX(uint row, uint quad) { return x[row * (columns / 4) + quad]; }
#endif
