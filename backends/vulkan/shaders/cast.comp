// Numbers from one type to another. Floats to integers go toward zero and saturate; NaN becomes 0.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "cast.inc"
#include "common.glsl"
#include "half.glsl"

layout(local_size_x = INVOCATIONS) in;

layout(std430, binding = x_binding) readonly buffer X32 { uint x32[]; };
layout(std430, binding = x_binding) readonly buffer X16 { uint16_t x16[]; };
layout(std430, binding = y_binding) writeonly buffer Y32 { uint y32[]; };
layout(std430, binding = y_binding) writeonly buffer Y16 { uint16_t y16[]; };

float Load(uint i) {
  if (FROM == F16) return FromF16(uint(x16[i]));
  if (FROM == BF16) return FromBf16(uint(x16[i]));
  return FROM == I32 ? float(int(x32[i])) : uintBitsToFloat(x32[i]);
}

int Truncate(float value) {
  if ((floatBitsToUint(value) & 0x7fffffffu) > 0x7f800000u) return 0;
  if (value >= 2147483648.0) return 0x7fffffff;
  return value <= -2147483648.0 ? int(0x80000000u) : int(value);
}

void Store(uint i, float value) {
  if (TO == F16) {
    y16[i] = uint16_t(ToF16(value));
  } else if (TO == BF16) {
    y16[i] = uint16_t(ToBf16(value));
  } else {
    y32[i] = TO == I32 ? uint(Truncate(value)) : floatBitsToUint(value);
  }
}

void main() {
  const uint n = Value(count);
  for (uint i = gl_GlobalInvocationID.x; i < n; i += gl_NumWorkGroups.x * gl_WorkGroupSize.x) {
    if (FROM == TO && TO == I32) {
      y32[i] = x32[i];
    } else {
      Store(i, Load(i));
    }
  }
}
