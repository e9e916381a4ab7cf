// What only data can show, told to the host. ERRORS is the binding.
layout(std430, binding = ERRORS) buffer Errors {
  uint error_code;
  int error_value;
  uint error_position;
  int error_limit;
};
const uint INDEX_ERROR = 1;
const uint NUMBER_ERROR = 2;

// The first one that comes stays.
void Report(uint code, int value, uint position, int limit) {
  if (atomicCompSwap(error_code, 0, code) != 0) return;
  error_value = value;
  error_position = position;
  error_limit = limit;
}

bool IsIndex(int value, uint position, uint limit) {
  if (value >= 0 && uint(value) < limit) return true;
  Report(INDEX_ERROR, value, position, int(limit));
  return false;
}
