// A piece of attention: what the step hands to the kernel of an instruction set.
//
// Everything here is compiled for several instruction sets: no function that a linker could share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph/dtype.h"

namespace sluice::cpu {

// Keys that are taken at a time: as many keys, values and scores fit the second-level cache.
inline constexpr int64_t kKeyBlock = 64;

// Rows of floats are padded to a multiple of this, the widest vector there is.
inline constexpr int64_t kRowPadding = 16;
static inline constexpr int64_t PaddedRow(int64_t n) {
  return (n + kRowPadding - 1) / kRowPadding * kRowPadding;
}

// The keys or the values of one head in the paged cache: row i of page p is at
// data + p * page_bytes + i * row_bytes.
struct PagedRows {
  const std::byte* data;
  int64_t page_bytes, row_bytes;
  int64_t dim;
  DType dtype;  // f32, f16, bf16 or q8_0
};

// The query rows of some tokens of one sequence, all heads that share one head of the cache, over
// the keys begin .. end - 1. Row r is head r % group of token r / group.
struct AttentionTask {
  const float* q;  // the first token's first head
  int64_t token_stride;
  int64_t rows, group;
  float scale;

  PagedRows k, v;
  const int32_t* pages;  // of the sequence
  int64_t page_size;     // in keys
  int64_t begin, end;
  // Row r sees the keys row_begin[r] .. row_end[r] - 1. Both rise with r and go on, with the last
  // row's, to PaddedRow(rows). As floats, exact up to 2^24 keys, to be compared lane by lane.
  const float* row_begin;
  const float* row_end;

  // Results: sums of exp(score - largest[r]), and of these times values, [rows, PaddedRow(v.dim)].
  // Arrays of a number per row have PaddedRow(rows).
  float* largest;
  float* sum;
  float* weighted;
  float* scratch;  // AttentionScratch(k.dim, v.dim, rows) floats
};

// Queries and scores per row, and a block of keys and values.
static inline constexpr int64_t AttentionScratch(int64_t k_dim, int64_t v_dim, int64_t rows) {
  return PaddedRow(rows) * (PaddedRow(k_dim) + kKeyBlock + 1) +
         kKeyBlock * (PaddedRow(k_dim) + PaddedRow(v_dim));
}

}  // namespace sluice::cpu
