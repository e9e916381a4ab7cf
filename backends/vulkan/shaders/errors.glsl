// What only data can show, told to the host.
#include "errors.inc"
layout(std430, binding = errors_binding) buffer Errors { ErrorSlot error; };

// The first one that comes stays.
void Report(uint code, int value, uint position, int limit) {
  if (atomicCompSwap(error.code, 0, code) != 0) return;
  error.value = value;
  error.position = position;
  error.limit = limit;
}

bool IsIndex(int value, uint position, uint limit) {
  if (value >= 0 && uint(value) < limit) return true;
  Report(INDEX_ERROR, value, position, int(limit));
  return false;
}
