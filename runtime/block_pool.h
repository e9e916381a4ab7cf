// The pool of KV cache blocks: who holds which, and which are worth keeping.
//
// A block is `block_size` consecutive positions of one sequence, in every layer's caches at once
// (PagedAttention: Kwon et al. 2023). The pool deals in block numbers only; the memory belongs to
// the backend.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace sluice {

// A block is held (by one sequence or several), or idle (nobody holds it, but somebody wants its
// contents kept for as long as the memory is not needed), or empty.
class BlockPool {
 public:
  explicit BlockPool(int64_t blocks);
  int64_t size() const { return static_cast<int64_t>(holders_.size()); }
  // What Allocate can hand out: empty and idle ones.
  int64_t free() const { return static_cast<int64_t>(empty_.size()) + idle_count_; }
  int64_t idle() const { return idle_count_; }
  int32_t holders(int32_t block) const { return holders_[static_cast<size_t>(block)]; }
  bool kept(int32_t block) const { return kept_[static_cast<size_t>(block)]; }

  // Appends `count` blocks to `out`, or none: ResourceExhausted says how many were there. Idle ones
  // are taken where empty ones do not suffice, the one that has been idle longest first.
  absl::Status Allocate(int64_t count, std::vector<int32_t>* out);
  // One more holder of a block that is held or idle.
  void Share(int32_t block);
  // One holder less of each. The last of `blocks` is let go first, so that the end of a text is
  // idle for longer than what it continues.
  void Release(absl::Span<const int32_t> blocks);

  // From now on the block becomes idle, not empty, when its last holder lets it go.
  void Keep(int32_t block) { kept_[static_cast<size_t>(block)] = true; }
  // The opposite; an idle block becomes empty.
  void Forget(int32_t block);
  // Called with each idle block that Allocate takes, which it then forgets. None: nobody is told.
  void set_on_evict(std::function<void(int32_t)> on_evict) { on_evict_ = std::move(on_evict); }

 private:
  void AppendIdle(int32_t block);
  void RemoveIdle(int32_t block);
  int32_t EvictOldest();

  std::vector<int32_t> holders_;  // of each block
  std::vector<bool> kept_;
  std::vector<int32_t> empty_;  // a stack: the last one released is the next one handed out
  // The idle blocks as a ring in the order in which they became idle. Its head, the last entry, is
  // no block.
  std::vector<int32_t> previous_, next_;
  int64_t idle_count_ = 0;
  std::function<void(int32_t)> on_evict_;
};

}  // namespace sluice
