// Sums and maxima over a workgroup of at most 256 invocations, for subgroups of any size from 4 on.
// All invocations call them, and all get the result.
shared float reduce_partial[64];

float WorkgroupSum(float x) {
  x = subgroupAdd(x);
  barrier();  // the last call's readers are done
  if (subgroupElect()) reduce_partial[gl_SubgroupID] = x;
  barrier();
  float sum = 0;
  for (uint i = 0; i < gl_NumSubgroups; ++i) sum += reduce_partial[i];
  return sum;
}

float WorkgroupMax(float x) {
  x = subgroupMax(x);
  barrier();
  if (subgroupElect()) reduce_partial[gl_SubgroupID] = x;
  barrier();
  float largest = reduce_partial[0];
  for (uint i = 1; i < gl_NumSubgroups; ++i) largest = max(largest, reduce_partial[i]);
  return largest;
}
