#include "runtime/prefix_cache.h"

#include <algorithm>
#include <bit>

namespace sluice {

uint64_t HashTokens(uint64_t before, absl::Span<const int32_t> tokens) {
  // Each step is invertible, so that texts that differ in one token alone never meet.
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio
  uint64_t hash = before;
  for (const int32_t token : tokens) {
    hash = (hash ^ static_cast<uint32_t>(token)) * kOdd;
    hash ^= hash >> 32;
  }
  return hash;
}

PrefixCache::PrefixCache(BlockPool& pool, int64_t block_size, Hash hash)
    : pool_(pool),
      block_size_(block_size),
      hash_(hash),
      entries_(static_cast<size_t>(pool.size())),
      tokens_(static_cast<size_t>(pool.size() * block_size)),
      buckets_(std::bit_ceil(entries_.size()), kNone) {
  pool_.set_on_evict([this](int32_t block) {
    Remove(block);
    ++counters_.evictions;
  });
}

PrefixCache::~PrefixCache() {
  Clear();
  pool_.set_on_evict(nullptr);
}

absl::Span<const int32_t> PrefixCache::TokensOf(int32_t block) const {
  return absl::MakeConstSpan(tokens_).subspan(static_cast<size_t>(block * block_size_),
                                              static_cast<size_t>(block_size_));
}

int32_t PrefixCache::Lookup(uint64_t hash, uint64_t before,
                            absl::Span<const int32_t> tokens) const {
  int32_t block = buckets_[hash & (buckets_.size() - 1)];
  for (; block != kNone; block = EntryOf(block).next) {
    const Entry& entry = EntryOf(block);
    if (entry.hash == hash && entry.before == before && TokensOf(block) == tokens) break;
  }
  return block;
}

void PrefixCache::Find(absl::Span<const int32_t> tokens, std::vector<int32_t>* out) const {
  const auto step = static_cast<size_t>(block_size_);
  uint64_t hash = 0, before = 0;
  for (size_t begin = 0; begin + step <= tokens.size(); begin += step) {
    const absl::Span<const int32_t> part = tokens.subspan(begin, step);
    hash = hash_(hash, part);
    const int32_t block = Lookup(hash, before, part);
    if (block == kNone) return;
    before = EntryOf(block).serial;
    out->push_back(block);
  }
}

void PrefixCache::Count(int64_t saved_tokens) {
  ++(saved_tokens > 0 ? counters_.hits : counters_.misses);
  counters_.saved_tokens += saved_tokens;
}

int32_t PrefixCache::Insert(int32_t before, absl::Span<const int32_t> tokens, int32_t block) {
  const Entry start;
  const Entry& previous = before == kNone ? start : EntryOf(before);
  if (before != kNone && previous.serial == 0) return block;
  const uint64_t hash = hash_(previous.hash, tokens);
  if (const int32_t known = Lookup(hash, previous.serial, tokens); known != kNone) return known;
  int32_t& bucket = BucketOf(hash);
  EntryOf(block) = {
      .serial = ++last_serial_, .before = previous.serial, .hash = hash, .next = bucket};
  bucket = block;
  std::copy(tokens.begin(), tokens.end(), tokens_.begin() + block * block_size_);
  ++size_;
  pool_.Keep(block);
  return block;
}

void PrefixCache::Remove(int32_t block) {
  int32_t* link = &BucketOf(EntryOf(block).hash);
  while (*link != block) link = &EntryOf(*link).next;
  *link = EntryOf(block).next;
  EntryOf(block) = {};
  --size_;
}

void PrefixCache::Clear() {
  for (int32_t block = 0; block < static_cast<int32_t>(entries_.size()); ++block) {
    if (EntryOf(block).serial == 0) continue;
    Remove(block);
    pool_.Forget(block);
  }
}

}  // namespace sluice
