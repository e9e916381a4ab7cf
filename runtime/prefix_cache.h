// Which full blocks of the KV cache hold which beginnings of texts, so that a text that begins like
// an earlier one does not run these tokens again.
//
// A block's contents depend on its own tokens and on all before them. So a block is known by its
// tokens and by the known block before it: hashes are chained and only say where to look, tokens
// and predecessor are compared. Nobody writes to a known block: see Sequence and
// StepToken::replay.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "runtime/block_pool.h"

namespace sluice {

// A number for `tokens` after a text whose number is `before`.
uint64_t HashTokens(uint64_t before, absl::Span<const int32_t> tokens);

class PrefixCache {
 public:
  struct Counters {
    int64_t hits = 0;          // texts that began with known blocks
    int64_t misses = 0;        // texts that did not
    int64_t saved_tokens = 0;  // that were not run
    int64_t evictions = 0;     // blocks given up for others, the least recently used first
  };
  static constexpr int32_t kNone = -1;  // no block
  using Hash = uint64_t (*)(uint64_t before, absl::Span<const int32_t> tokens);

  // `pool` outlives the cache and has no other.
  PrefixCache(BlockPool& pool, int64_t block_size, Hash hash = HashTokens);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // Appends to `out` the blocks of the longest known beginning of `tokens`, which are held or idle:
  // the pool may take idle ones away until somebody shares them.
  void Find(absl::Span<const int32_t> tokens, std::vector<int32_t>* out) const;
  // A text was begun, of which `saved_tokens` were found.
  void Count(int64_t saved_tokens);

  // `block` holds the block_size `tokens` that come after those of the block `before` (kNone: it is
  // a text's first). Returns the block that is known for them now: `block`, or another one with the
  // same contents, which the caller had better use instead. If `before` is not known, nothing
  // happens.
  int32_t Insert(int32_t before, absl::Span<const int32_t> tokens, int32_t block);

  // Forgets all blocks. The counters stay.
  void Clear();

  int64_t size() const { return size_; }  // blocks known
  const Counters& counters() const { return counters_; }

 private:
  struct Entry {
    uint64_t serial = 0;  // of this entry alone, never used again; 0: the block is not known
    uint64_t before = 0;  // serial of the entry before it; 0: none
    uint64_t hash = 0;
    int32_t next = kNone;  // block of the same bucket
  };

  Entry& EntryOf(int32_t block) { return entries_[static_cast<size_t>(block)]; }
  const Entry& EntryOf(int32_t block) const { return entries_[static_cast<size_t>(block)]; }
  absl::Span<const int32_t> TokensOf(int32_t block) const;
  int32_t& BucketOf(uint64_t hash) { return buckets_[hash & (buckets_.size() - 1)]; }
  int32_t Lookup(uint64_t hash, uint64_t before, absl::Span<const int32_t> tokens) const;
  void Remove(int32_t block);

  BlockPool& pool_;
  const int64_t block_size_;
  const Hash hash_;
  // All by block number, so that nothing is allocated later.
  std::vector<Entry> entries_;
  std::vector<int32_t> tokens_;
  std::vector<int32_t> buckets_;  // the first block of each; a power of two
  uint64_t last_serial_ = 0;
  int64_t size_ = 0;
  Counters counters_;
};

}  // namespace sluice
