#include "runtime/block_pool.h"

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice {

BlockPool::BlockPool(int64_t blocks) : size_(blocks) {
  for (int64_t block = blocks - 1; block >= 0; --block)
    free_.push_back(static_cast<int32_t>(block));
}

absl::Status BlockPool::Allocate(int64_t count, std::vector<int32_t>* out) {
  if (count > free()) {
    return absl::ResourceExhaustedError(absl::StrCat("out of KV cache: ", count, " blocks wanted, ",
                                                     free(), " of ", size_, " free"));
  }
  for (int64_t i = 0; i < count; ++i) {
    out->push_back(free_.back());
    free_.pop_back();
  }
  return absl::OkStatus();
}

void BlockPool::Release(absl::Span<const int32_t> blocks) {
  free_.insert(free_.end(), blocks.rbegin(), blocks.rend());
}

absl::Status Sequence::Extend(int64_t count) {
  const int64_t needed = BlocksFor(length_ + count);
  SLUICE_RETURN_IF_ERROR(pool_->Allocate(needed - static_cast<int64_t>(blocks_.size()), &blocks_));
  length_ += count;
  return absl::OkStatus();
}

void Sequence::Truncate(int64_t length) {
  if (length > length_) return;
  const auto kept = static_cast<size_t>(BlocksFor(length));
  pool_->Release(absl::MakeConstSpan(blocks_).subspan(kept));
  blocks_.resize(kept);
  length_ = length;
}

int32_t Sequence::Slot(int64_t index) const {
  const int32_t block = blocks_[static_cast<size_t>(index / block_size_)];
  return static_cast<int32_t>(block * block_size_ + index % block_size_);
}

}  // namespace sluice
