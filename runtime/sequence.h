// One sequence: its length and its block table.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/block_pool.h"

namespace sluice {

// New positions go to blocks that no other sequence holds and nobody keeps: full blocks only are
// shared, and Truncate never leaves a part of one.
class Sequence {
 public:
  Sequence(BlockPool* pool, int64_t block_size) : pool_(pool), block_size_(block_size) {}
  ~Sequence() { Truncate(0); }
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  int64_t length() const { return length_; }
  // Positions for which there are blocks already.
  int64_t room() const { return static_cast<int64_t>(blocks_.size()) * block_size_ - length_; }
  // Those of positions 0 to length() - 1.
  absl::Span<const int32_t> blocks() const {
    return absl::MakeConstSpan(blocks_).first(static_cast<size_t>(BlocksFor(length_)));
  }

  // Makes room in the block table for `length` positions: up to there, Extend allocates nothing.
  void Reserve(int64_t length) { blocks_.reserve(static_cast<size_t>(BlocksFor(length))); }
  // An empty sequence begins with full blocks, each of which gets a holder more.
  void Adopt(absl::Span<const int32_t> blocks);
  // Takes the blocks that `length` positions need. All or nothing.
  absl::Status Claim(int64_t length);
  // Counts `count` more positions, for which it takes blocks where there is no room. All or
  // nothing.
  absl::Status Extend(int64_t count);
  // Holds `block` instead of the one at `index`, which has the same contents.
  void Replace(size_t index, int32_t block);
  // Forgets everything from `length` on and releases whole blocks. A block that is shared or kept
  // is forgotten as a whole, so length() may be less afterwards.
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
