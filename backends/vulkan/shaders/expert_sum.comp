// y[t,o] = residual[t,o] + sum_j scale[t,j] (bias[e,o] + weight[e,o,:] x[t,j,:]) for e = ids[t,j]:
// a subgroup an output of a token, which adds up its experts' products as it goes.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "expert_sum.inc"
#include "quant.glsl"
#include "errors.glsl"

layout(local_size_x = VECTOR_INVOCATIONS) in;
#include "x.glsl"

// The row of a part that is output `o` of the slot's expert; as many as the part has, or more, if
// it is not there.
uint RowIn(uint part, uint slot, uint o) {
  if (!IsIndex(ids[slot], slot, experts)) return parts[part].rows;
  return uint(ids[slot]) * outputs + o - parts[part].first_row;
}

// The product of 16 elements, group `group`, of the slot's row of x and the weight's row.
float Product(uint part, uint slot, uint group, uint row) {
  vec4 w[4];
  Decode16(part, row * row_bytes, group, w);
  const uint x_row = slot / slots_per_row;
  float sum = 0;
  for (uint j = 0; j < QuadsIn(group); ++j) sum += dot(w[j], QuadOfX(x_row, 4 * group + j));
  return sum;
}

// What an invocation contributes to an output of a token, as far as it is in the part.
float Share(uint part, uint token, uint o) {
  const uint groups = GroupsInRow();
  float sum = 0;
  // All slots' groups in one row, so that short rows, too, leave few invocations without work.
  for (uint i = gl_SubgroupInvocationID; i < used * groups; i += gl_SubgroupSize) {
    const uint slot = token * used + i / groups, group = i % groups, row = RowIn(part, slot, o);
    if (row >= parts[part].rows) continue;
    float product = Product(part, slot, group, row);
    if (group == 0 && has_bias != 0) product += bias[uint(ids[slot]) * outputs + o];
    sum += scale[slot] * product;
  }
  return sum;
}

void main() {
  const uint token = gl_WorkGroupID.y, step = gl_NumWorkGroups.x * gl_NumSubgroups;
  if (token >= Value(tokens)) return;
  for (uint o = gl_WorkGroupID.x * gl_NumSubgroups + gl_SubgroupID; o < outputs; o += step) {
    float sum = 0;
    for (uint part = 0; part < WEIGHTS; ++part) sum += Share(part, token, o);
    sum = subgroupAdd(sum);
    const uint at = token * outputs + o;
    if (subgroupElect()) y[at] = (has_residual != 0 ? residual[at] : 0) + sum;
  }
}
