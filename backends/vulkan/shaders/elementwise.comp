// y[i] = op(a[i], b[i % period]).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "activation.glsl"
#include "elementwise.inc"

layout(local_size_x = INVOCATIONS) in;

// erf by Abramowitz and Stegun 7.1.26, whose error is below 1.5e-7.
float GeluErf(float x) {
  const float z = abs(x) * 0.7071067811865476;
  const float t = 1 / (1 + 0.3275911 * z);
  const float poly = 1.421413741 + t * (-1.453152027 + t * 1.061405429);
  const float tail =  // of the normal distribution, beyond |x|
      0.5 * t * (0.254829592 + t * (-0.284496736 + t * poly)) * exp(-z * z);
  return x * (x < 0 ? tail : 1 - tail);
}

float Apply(float x, float other) {
  switch (OP) {
    case ADD: return x + other;
    case MUL: return x * other;
    case SCALE: return x * factor;
    case SILU: return Silu(x);
    case GELU_TANH: return GeluTanh(x);
    default: return GeluErf(x);
  }
}

void main() {
  const bool is_binary = OP == ADD || OP == MUL;
  const uint n = Value(count), repeat = Value(period);
  for (uint i = gl_GlobalInvocationID.x; i < n; i += gl_NumWorkGroups.x * gl_WorkGroupSize.x) {
    y[i] = Apply(a[i], is_binary ? b[i % repeat] : 0);
  }
}
