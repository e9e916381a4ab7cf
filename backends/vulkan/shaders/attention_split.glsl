// How attention.comp with SPLIT divides a token's keys, and puts its results together.

const uint LEAST = 2;  // tiles of keys that are worth a workgroup
shared bool is_last;

// A part's place in `partial`: for each row its maximum and sum, then its results.
uint PartialOf(uint part) { return part * ROWS * (1 + v_quads); }

void StorePart(uint part) {
  const uint to = PartialOf(part);
  for (uint i = 0; i < MY_ROWS; ++i) {
    const uint row = Row(i);
    if (Quad() == 0) partial[to + row] = vec4(largest[row], sums[row], 0, 0);
    for (uint piece = 0; piece < V_PIECES; ++piece) {
      const uint quad = piece * PIECE + Quad();
      if (quad < v_quads) {
        partial[to + ROWS + row * v_quads + quad] = results[piece * MY_ROWS + i];
      }
    }
  }
}

// Whether all other parts are stored. The counter is 0 again after the last one.
bool IsLast(uint counter, uint parts) {
  memoryBarrierBuffer();
  barrier();
  if (gl_LocalInvocationID.x == 0) {
    memoryBarrierBuffer();  // what the whole workgroup stored comes before the count
    is_last = atomicAdd(counters[counter], 1) == parts - 1;
    if (is_last) counters[counter] = 0;
  }
  barrier();
  memoryBarrierBuffer();
  return is_last;
}

void CombineParts(uint first, uint parts) {
  for (uint i = 0; i < MY_ROWS; ++i) {
    const uint row = Row(i);
    float top = LOWEST;
    for (uint p = 0; p < parts; ++p) top = max(top, partial[PartialOf(first + p) + row].x);
    float sum = 0;
    for (uint piece = 0; piece < V_PIECES; ++piece) results[piece * MY_ROWS + i] = vec4(0);
    for (uint p = 0; p < parts; ++p) {
      const uint from = PartialOf(first + p);
      const float fade = exp(partial[from + row].x - top);
      sum += partial[from + row].y * fade;
      for (uint piece = 0; piece < V_PIECES; ++piece) {
        const uint quad = piece * PIECE + Quad();
        if (quad >= v_quads) continue;
        results[piece * MY_ROWS + i] += fade * partial[from + ROWS + row * v_quads + quad];
      }
    }
    if (Quad() == 0) sums[row] = sum;
  }
  barrier();
}

// All rows are of one token and see the same.
void AttendPart(uint which, uint kv_head, uint split) {
  const ivec3 range = VisibleTo(which / tiles_per_token);
  const uint tiles = (uint(range.y - range.x) + KEYS - 1) / KEYS;
  const uint per_part = max(LEAST, (tiles + splits - 1) / splits);
  const uint parts = max(1, (tiles + per_part - 1) / per_part);
  if (split >= parts) return;
  LoadQueries(which, kv_head);
  barrier();
  const int begin = range.x + int(split * per_part * KEYS);
  Attend(kv_head, range.z, ivec2(begin, min(range.y, begin + int(per_part * KEYS))));
  if (parts > 1) {
    const uint counter = which * kv_heads + kv_head;
    StorePart(counter * splits + split);
    if (!IsLast(counter, parts)) return;
    CombineParts(counter * splits, parts);
  }
  StoreResults(which, kv_head);
}

void main() {
  const uint tiles = Value(tokens) * tiles_per_token;
  for (uint i = gl_WorkGroupID.x; i < tiles * kv_heads * splits; i += gl_NumWorkGroups.x) {
    barrier();  // the last part's rows are done with
    AttendPart(i / splits / kv_heads, i / splits % kv_heads, i % splits);
  }
}
