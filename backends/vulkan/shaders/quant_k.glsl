// The scale and minimum of group `group` of 32 elements of q4_k and q5_k.
vec2 ScaleMin(uint block, uint group) {
  const uint scales = block + 4;
  uvec2 packed;
  if (group < 4) {
    packed = uvec2(Byte(scales + group), Byte(scales + group + 4)) & 63u;
  } else {
    const uint low = Byte(scales + group + 4);
    packed = uvec2(low & 15u | Byte(scales + group - 4) >> 6 << 4,
                   low >> 4 | Byte(scales + group) >> 6 << 4);
  }
  return vec2(Half(block), Half(block + 2)) * vec2(packed);
}
