// The choice of a token's experts by 64 invocations: scores of all experts from `logits`, the k
// largest of them, and their weights. The shader has the buffers and the parameters.
#include "reduce.glsl"

const uint NONE = 0xffffffffu;
const float LOWEST = -3.402823466e38;
const float MIN_SUM = 6.103515625e-05;  // 2^-14, the smallest normal binary16

shared float scores[MAX_EXPERTS];  // of those chosen already: below all others
shared float gates[MAX_EXPERTS];
shared uint candidates[64];
shared uint chosen[MAX_EXPERTS];

bool IsBelowInfinity(float x) {
  const uint bits = floatBitsToUint(x);
  return bits == 0xff800000u || (bits & 0x7f800000u) != 0x7f800000u;
}

// Scores of the experts, whose logits begin at `from`. NaN and +inf are reported.
void Score(uint from) {
  const uint lane = gl_LocalInvocationID.x;
  float largest = LOWEST;
  for (uint e = lane; e < experts; e += gl_WorkGroupSize.x) {
    if (!IsBelowInfinity(logits[from + e])) Report(NUMBER_ERROR, 0, from + e, 0);
    largest = max(largest, logits[from + e]);
  }
  largest = WorkgroupMax(largest);
  // A softmax needs one logit that is no -inf. Numbers as routers give them are not as low.
  if (lane == 0 && choice.sigmoid == 0 && largest == LOWEST) Report(NUMBER_ERROR, 0, from, 0);
  float sum = 0;
  for (uint e = lane; e < experts; e += gl_WorkGroupSize.x) {
    const float logit = logits[from + e];
    gates[e] = choice.sigmoid != 0 ? 1 / (1 + exp(-logit)) : exp(logit - largest);
    sum += gates[e];
  }
  sum = WorkgroupSum(sum);
  for (uint e = lane; e < experts; e += gl_WorkGroupSize.x) {
    if (choice.sigmoid == 0) gates[e] /= sum;
    scores[e] = gates[e] + (choice.has_bias != 0 ? choice_bias[e] : 0);
  }
  barrier();
}

// The expert of the highest score, of equal ones the first.
uint Best() {
  const uint lane = gl_LocalInvocationID.x;
  uint best = NONE;
  for (uint e = lane; e < experts; e += gl_WorkGroupSize.x) {
    if (scores[e] > LOWEST && (best == NONE || scores[e] > scores[best])) best = e;
  }
  candidates[lane] = best;
  barrier();
  for (uint i = 0; i < gl_WorkGroupSize.x; ++i) {
    const uint other = candidates[i];
    if (other == NONE) continue;
    const bool is_better = best == NONE || scores[other] > scores[best] ||
                           (scores[other] == scores[best] && other < best);
    if (is_better) best = other;
  }
  barrier();
  return best == NONE ? 0 : best;
}

// The experts of a token. All invocations call it.
void Choose(uint token) {
  const uint lane = gl_LocalInvocationID.x;
  Score(token * experts);
  float sum = 0;
  for (uint j = 0; j < k; ++j) {
    const uint best = Best();
    sum += gates[best];
    if (lane == 0) {
      chosen[j] = best;
      scores[best] = LOWEST;
    }
    barrier();
  }
  const float factor = choice.renormalise != 0 ? choice.scale / max(sum, MIN_SUM) : choice.scale;
  for (uint j = lane; j < k; j += gl_WorkGroupSize.x) {
    ids[token * k + j] = int(chosen[j]);
    gate_weights[token * k + j] = gates[chosen[j]] * factor;
  }
  barrier();  // before the next token's scores
}
