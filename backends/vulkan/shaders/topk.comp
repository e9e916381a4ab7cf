// The router's choice from logits that are there; a workgroup a token.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "topk.inc"
#include "errors.glsl"

layout(local_size_x = 64) in;

#include "topk.glsl"

void main() {
  const uint rows = Value(tokens);
  for (uint token = gl_WorkGroupID.x; token < rows; token += gl_NumWorkGroups.x) Choose(token);
}
