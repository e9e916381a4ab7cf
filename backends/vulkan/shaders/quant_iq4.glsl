// The values that the quants of iq4_nl and iq4_xs stand for.
const float IQ4_VALUES[16] = float[16](-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53,
                                       69, 89, 113);
vec4 Iq4Values(uvec4 q) {
  return vec4(IQ4_VALUES[q.x], IQ4_VALUES[q.y], IQ4_VALUES[q.z], IQ4_VALUES[q.w]);
}
