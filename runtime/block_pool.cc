#include "runtime/block_pool.h"

#include "absl/strings/str_cat.h"

namespace sluice {

BlockPool::BlockPool(int64_t blocks)
    : holders_(static_cast<size_t>(blocks)),
      kept_(static_cast<size_t>(blocks)),
      previous_(static_cast<size_t>(blocks) + 1),
      next_(static_cast<size_t>(blocks) + 1) {
  for (int64_t block = blocks - 1; block >= 0; --block)
    empty_.push_back(static_cast<int32_t>(block));
  previous_.back() = next_.back() = static_cast<int32_t>(blocks);
}

absl::Status BlockPool::Allocate(int64_t count, std::vector<int32_t>* out) {
  if (count > free()) {
    return absl::ResourceExhaustedError(absl::StrCat("out of KV cache: ", count, " blocks wanted, ",
                                                     free(), " of ", size(), " free"));
  }
  for (int64_t i = 0; i < count; ++i) {
    if (empty_.empty()) empty_.push_back(EvictOldest());
    const int32_t block = empty_.back();
    empty_.pop_back();
    holders_[static_cast<size_t>(block)] = 1;
    out->push_back(block);
  }
  return absl::OkStatus();
}

void BlockPool::Share(int32_t block) {
  if (holders_[static_cast<size_t>(block)]++ == 0) RemoveIdle(block);
}

void BlockPool::Release(absl::Span<const int32_t> blocks) {
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
    if (--holders_[static_cast<size_t>(*block)] > 0) continue;
    if (kept(*block)) {
      AppendIdle(*block);
    } else {
      empty_.push_back(*block);
    }
  }
}

void BlockPool::Forget(int32_t block) {
  if (!kept(block)) return;
  kept_[static_cast<size_t>(block)] = false;
  if (holders(block) > 0) return;
  RemoveIdle(block);
  empty_.push_back(block);
}

void BlockPool::AppendIdle(int32_t block) {
  const auto head = static_cast<int32_t>(size());
  const int32_t last = previous_.back();
  previous_[static_cast<size_t>(block)] = last;
  next_[static_cast<size_t>(block)] = head;
  next_[static_cast<size_t>(last)] = previous_.back() = block;
  ++idle_count_;
}

void BlockPool::RemoveIdle(int32_t block) {
  const int32_t before = previous_[static_cast<size_t>(block)];
  const int32_t after = next_[static_cast<size_t>(block)];
  next_[static_cast<size_t>(before)] = after;
  previous_[static_cast<size_t>(after)] = before;
  --idle_count_;
}

int32_t BlockPool::EvictOldest() {
  const int32_t block = next_.back();
  RemoveIdle(block);
  kept_[static_cast<size_t>(block)] = false;
  if (on_evict_) on_evict_(block);
  return block;
}

}  // namespace sluice
