#include "runtime/sequence.h"

#include "graph/status_macros.h"

namespace sluice {

void Sequence::Adopt(absl::Span<const int32_t> blocks) {
  for (const int32_t block : blocks) pool_->Share(block);
  blocks_.assign(blocks.begin(), blocks.end());
  length_ = static_cast<int64_t>(blocks.size()) * block_size_;
}

absl::Status Sequence::Claim(int64_t length) {
  const int64_t missing = BlocksFor(length) - static_cast<int64_t>(blocks_.size());
  return missing > 0 ? pool_->Allocate(missing, &blocks_) : absl::OkStatus();
}

absl::Status Sequence::Extend(int64_t count) {
  SLUICE_RETURN_IF_ERROR(Claim(length_ + count));
  length_ += count;
  return absl::OkStatus();
}

void Sequence::Replace(size_t index, int32_t block) {
  const int32_t old = blocks_[index];
  if (old == block) return;
  pool_->Share(block);
  blocks_[index] = block;
  pool_->Release({&old, 1});
}

void Sequence::Truncate(int64_t length) {
  if (length > length_) return;
  if (length % block_size_ != 0) {
    const int32_t block = blocks_[static_cast<size_t>(length / block_size_)];
    if (pool_->holders(block) > 1 || pool_->kept(block)) length -= length % block_size_;
  }
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
