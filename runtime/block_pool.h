// The pool of KV cache blocks, and the sequences that hold them.
//
// A block is `block_size` consecutive positions of one sequence, in every layer's caches at once
// (PagedAttention: Kwon et al. 2023). The pool deals in block numbers only; the memory belongs to
// the backend.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace sluice {

class BlockPool {
 public:
  explicit BlockPool(int64_t blocks);
  int64_t size() const { return size_; }
  int64_t free() const { return static_cast<int64_t>(free_.size()); }

  // Appends `count` blocks to `out`, or none: ResourceExhausted says how many were there.
  absl::Status Allocate(int64_t count, std::vector<int32_t>* out);
  void Release(absl::Span<const int32_t> blocks);

 private:
  int64_t size_;
  std::vector<int32_t> free_;  // a stack: the last one released is the next one handed out
};

// One sequence: its length and its block table.
class Sequence {
 public:
  Sequence(BlockPool* pool, int64_t block_size) : pool_(pool), block_size_(block_size) {}
  ~Sequence() { Truncate(0); }
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  int64_t length() const { return length_; }
  absl::Span<const int32_t> blocks() const { return blocks_; }

  // Makes room in the block table for `length` positions: up to there, Extend allocates nothing.
  void Reserve(int64_t length) { blocks_.reserve(static_cast<size_t>(BlocksFor(length))); }
  // Makes room for `count` more positions and counts them. All or nothing.
  absl::Status Extend(int64_t count);
  // Forgets everything from `length` on and releases whole blocks.
  void Truncate(int64_t length);
  // Where position `index` lies in the caches: block * block_size + offset.
  int32_t Slot(int64_t index) const;

 private:
  int64_t BlocksFor(int64_t length) const { return (length + block_size_ - 1) / block_size_; }

  BlockPool* pool_;
  int64_t block_size_;
  int64_t length_ = 0;
  std::vector<int32_t> blocks_;
};

}  // namespace sluice
