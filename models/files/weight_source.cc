#include "models/files/weight_source.h"

#include <functional>

namespace sluice {

WeightSource::WeightSource(std::unique_ptr<MappedFile> mapping)
    : path_(mapping->path()), mapping_(std::move(mapping)), bytes_(mapping_->bytes()) {}

WeightSource::WeightSource(absl::Span<const std::byte> bytes, std::string name)
    : path_(std::move(name)), bytes_(bytes) {}

const MetadataValue* WeightSource::Find(absl::string_view key) const {
  const auto it = metadata_index_.find(key);
  return it == metadata_index_.end() ? nullptr : &metadata_[it->second].second;
}

const StoredTensor* WeightSource::FindTensor(absl::string_view name) const {
  const auto it = tensor_index_.find(name);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

absl::Span<const std::byte> WeightSource::Data(const StoredTensor& tensor) const {
  return bytes_.subspan(static_cast<size_t>(tensor.offset), static_cast<size_t>(tensor.bytes));
}

void WeightSource::Release(absl::Span<const std::byte> part) const {
  const std::less_equal<const std::byte*> not_after;
  const bool is_mine = not_after(bytes_.data(), part.data()) &&
                       not_after(part.data() + part.size(), bytes_.data() + bytes_.size());
  if (mapping_ != nullptr && is_mine) mapping_->Release(part);
}

absl::Status WeightSource::CheckNotShrunk() const {
  return mapping_ ? mapping_->CheckNotShrunk() : absl::OkStatus();
}

void WeightSource::AddKey(absl::string_view key, const MetadataValue& value) {
  metadata_index_.emplace(key, metadata_.size());
  metadata_.emplace_back(key, value);
}

void WeightSource::AddTensor(StoredTensor tensor) {
  tensor_index_.emplace(tensor.name, tensors_.size());
  tensors_.push_back(std::move(tensor));
}

}  // namespace sluice
