// The k largest elements of each row. Workgroups select those of parts of it; who is done last
// selects among what they have found, and sorts that.
//
// An element is known by its rank: a number that rises with its value, and one that falls with its
// index, so that no two are alike. The k highest are those that reach some limit, which is found
// bit by bit, by counting how many reach it.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "top_k.inc"

layout(local_size_x = 256) in;
// What workgroups have found, [rows,parts,k]; and how many of a row's are done.
layout(std430, binding = found_binding) coherent buffer Found { uvec2 found[]; };
layout(std430, binding = done_binding) coherent buffer Done { uint done[]; };

const uvec2 NOBODY = uvec2(0);  // below all ranks
shared uvec2 selected[MOST];
shared uint selected_count;
shared uint partial_counts[64];
shared bool is_last;

// NaN has the rank of +inf, -0 that of 0. Denormals count, whatever the device does to them.
uvec2 RankOf(uint bits, uint index) {
  const uint magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) bits = 0x7f800000u;
  if (magnitude == 0) bits = 0;
  return uvec2(bits >> 31 != 0 ? ~bits : bits | 0x80000000u, ~index);
}

bool Reaches(uvec2 rank, uvec2 limit) {
  return rank.x > limit.x || (rank.x == limit.x && rank.y >= limit.y);
}

// What is selected from: elements of a row, or what has been found of it.
struct Candidates {
  bool are_found;
  uint begin, count;  // in x or in found
  uint first_index;   // of elements
};

uvec2 Candidate(Candidates c, uint i) {
  return c.are_found ? found[c.begin + i] : RankOf(x[c.begin + i], c.first_index + i);
}

uint CountThatReach(uvec2 limit, Candidates c) {
  uint count = 0;
  for (uint i = gl_LocalInvocationID.x; i < c.count; i += gl_WorkGroupSize.x) {
    if (Reaches(Candidate(c, i), limit)) ++count;
  }
  count = subgroupAdd(count);
  barrier();  // the last call's readers are done
  if (subgroupElect()) partial_counts[gl_SubgroupID] = count;
  barrier();
  uint sum = 0;
  for (uint i = 0; i < gl_NumSubgroups; ++i) sum += partial_counts[i];
  return sum;
}

// The highest limit that k candidates reach, or, as soon as there is one, any that just k do.
uvec2 LimitOf(Candidates c) {
  uvec2 limit = uvec2(0);
  for (uint word = 0; word < 2; ++word) {
    for (uint bit = 0x80000000u; bit != 0; bit >>= 1) {
      uvec2 next = limit;
      next[word] |= bit;
      const uint count = CountThatReach(next, c);
      if (count == k) return next;
      if (count > k) limit = next;
    }
  }
  return limit;
}

// Leaves the k highest of at least k candidates in `selected`, in any order.
void Select(Candidates c) {
  const uvec2 limit = LimitOf(c);
  if (gl_LocalInvocationID.x == 0) selected_count = 0;
  barrier();
  for (uint i = gl_LocalInvocationID.x; i < c.count; i += gl_WorkGroupSize.x) {
    const uvec2 rank = Candidate(c, i);
    if (Reaches(rank, limit)) selected[atomicAdd(selected_count, 1)] = rank;
  }
  barrier();
}

// What belongs to a part of a row. Fewer than k stand for themselves.
void StorePart(Candidates c, uint to) {
  if (c.count > k) Select(c);
  for (uint j = gl_LocalInvocationID.x; j < k; j += gl_WorkGroupSize.x) {
    found[to + j] = c.count > k ? selected[j] : j < c.count ? Candidate(c, j) : NOBODY;
  }
}

// Whether all other parts are stored. The counter is 0 again after the last one.
bool IsLast(uint row) {
  memoryBarrierBuffer();
  barrier();
  if (gl_LocalInvocationID.x == 0) {
    memoryBarrierBuffer();  // what the whole workgroup stored comes before the count
    is_last = atomicAdd(done[row], 1) + 1 == gl_NumWorkGroups.x;
    if (is_last) done[row] = 0;
  }
  barrier();
  memoryBarrierBuffer();
  return is_last;
}

// The place of each is the number of those above it.
void StoreSorted(uint row) {
  const uint j = gl_LocalInvocationID.x;
  if (j >= k) return;
  const uvec2 rank = selected[j];
  uint place = 0;
  for (uint i = 0; i < k; ++i) {
    if (i != j && Reaches(selected[i], rank)) ++place;
  }
  const uint index = ~rank.y;
  values[row * k + place] = x[row * n + index];
  ids[row * k + place] = int(index);
}

void main() {
  const uint row = gl_WorkGroupID.y, parts = gl_NumWorkGroups.x;
  if (row >= Value(rows)) return;
  const uint first = gl_WorkGroupID.x * part;
  const Candidates own = {false, row * n + first, min(part, n - first), first};
  if (parts == 1) {
    Select(own);
  } else {
    StorePart(own, (row * parts + gl_WorkGroupID.x) * k);
    if (!IsLast(row)) return;
    Select(Candidates(true, row * parts * k, parts * k, 0));
  }
  StoreSorted(row);
}
