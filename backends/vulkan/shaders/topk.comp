// The router's choice from logits that are there; a workgroup a token.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#define ERRORS 5
#include "errors.glsl"

layout(local_size_x = 64) in;
layout(std430, binding = 1) readonly buffer Logits { float logits[]; };
layout(std430, binding = 2) readonly buffer Bias { float choice_bias[]; };
layout(std430, binding = 3) writeonly buffer Weights { float gate_weights[]; };
layout(std430, binding = 4) writeonly buffer Ids { int ids[]; };
layout(push_constant) uniform Push {
  uvec2 tokens;
  uint experts;
  uint k;
  uint has_choice_bias;
  uint sigmoid;
  uint renormalise;
  float scale;
};

#include "topk.glsl"

void main() {
  const uint rows = Value(tokens);
  for (uint token = gl_WorkGroupID.x; token < rows; token += gl_NumWorkGroups.x) Choose(token);
}
