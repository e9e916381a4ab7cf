float Silu(float x) { return x / (1 + exp(-x)); }

// x/2 (1 + tanh u) = x / (1 + e^-2u)
float GeluTanh(float x) {
  const float u = 0.7978845608028654 * (x + 0.044715 * x * x * x);
  return x / (1 + exp(-2 * u));
}
