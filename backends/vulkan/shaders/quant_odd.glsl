// Rows of any length, of formats without blocks: no element beyond a row's end is read.
float Element(uint format, uint row, uint i) {
  if (format == F32) return float_weights[matrix].floats[(row >> 2) + i];
  const uint word = Word(row + 2 * i);
  return format == F16 ? FromF16(word) : FromBf16(word);
}
void Decode16(uint which, uint row, uint group, out vec4 v[4]) {
  const uint format = FormatOf(which);
  matrix = which;
  for (uint i = 0; i < 16; ++i) {
    const uint column = 16 * group + i;
    v[i / 4][i % 4] = column < columns ? Element(format, row, column) : 0;
  }
}
