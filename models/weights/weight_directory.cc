#include "models/weights/weight_directory.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "graph/formats/dequantize.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

constexpr absl::string_view kBias = ".bias";

absl::string_view Suffix(const WeightSpec& spec) {
  return absl::EndsWith(spec.name, kBias) ? kBias : ".weight";
}

std::string OwnTensor(const WeightSpec& spec) {
  return absl::StrCat(absl::StripSuffix(spec.name, kBias), Suffix(spec));
}

// "": the weight is never fused. No tensor has that name.
std::string FusedTensor(const WeightSpec& spec) {
  return spec.fused.tensor.empty() ? "" : absl::StrCat(spec.fused.tensor, Suffix(spec));
}

std::string ExpertTensor(const WeightSpec& spec, int64_t expert) {
  const absl::string_view stem = absl::StripSuffix(absl::StripSuffix(spec.name, kBias), "_exps");
  return absl::StrCat(stem, ".", expert, Suffix(spec));
}

std::vector<int64_t> StackedShape(const WeightSpec& spec) {
  std::vector<int64_t> shape = spec.shape;
  if (spec.experts > 0) shape.insert(shape.begin(), spec.experts);
  return shape;
}

// [1,64] is the same as [64]: writers differ in how many dimensions they store.
absl::Span<const int64_t> WithoutLeadingOnes(absl::Span<const int64_t> shape) {
  while (shape.size() > 1 && shape[0] == 1) shape.remove_prefix(1);
  return shape;
}

std::string ShapeText(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ","), "]");
}

template <typename... Args>
absl::Status TensorError(absl::string_view tensor, const Args&... message) {
  return absl::InvalidArgumentError(absl::StrCat("tensor '", tensor, "': ", message...));
}

absl::Status CheckShape(const StoredTensor& tensor, absl::Span<const int64_t> expected) {
  if (WithoutLeadingOnes(tensor.shape) == WithoutLeadingOnes(expected)) return absl::OkStatus();
  return TensorError(tensor.name, "expected the shape ", ShapeText(expected), ", got ",
                     ShapeText(tensor.shape));
}

}  // namespace

WeightDirectory::WeightDirectory(const ModelFiles& files) {
  for (const auto& file : files) {
    for (const StoredTensor& tensor : file->tensors()) {
      index_.emplace(tensor.name, entries_.size());
      entries_.push_back({&tensor, file.get()});
    }
  }
}

bool WeightDirectory::Contains(const WeightSpec& spec) const {
  return index_.contains(OwnTensor(spec)) || index_.contains(FusedTensor(spec)) ||
         (spec.experts > 0 && index_.contains(ExpertTensor(spec, 0)));
}

WeightDirectory::Entry* WeightDirectory::Find(absl::string_view tensor) {
  const auto it = index_.find(tensor);
  return it == index_.end() ? nullptr : &entries_[it->second];
}

absl::StatusOr<DType> WeightDirectory::BindWhole(Entry& entry, const WeightSpec& spec,
                                                 WeightPieces* pieces) {
  SLUICE_RETURN_IF_ERROR(CheckShape(*entry.tensor, StackedShape(spec)));
  entry.used = true;
  pieces->push_back(entry.data());
  return entry.tensor->dtype;
}

absl::StatusOr<DType> WeightDirectory::BindRows(Entry& entry, const WeightSpec& spec,
                                                WeightPieces* pieces) {
  WeightSpec fused = spec;
  fused.shape[0] = spec.fused.total;
  SLUICE_RETURN_IF_ERROR(CheckShape(*entry.tensor, StackedShape(fused)));
  entry.used = true;
  // Rows are whole blocks, so that ranges of them are ranges of bytes.
  const int64_t experts = std::max<int64_t>(spec.experts, 1);
  const int64_t row_bytes = entry.tensor->bytes / (experts * spec.fused.total);
  for (int64_t expert = 0; expert < experts; ++expert) {
    const int64_t first = expert * spec.fused.total + spec.fused.first;
    pieces->push_back(entry.data().subspan(static_cast<size_t>(first * row_bytes),
                                           static_cast<size_t>(spec.shape[0] * row_bytes)));
  }
  return entry.tensor->dtype;
}

absl::StatusOr<DType> WeightDirectory::BindExperts(const WeightSpec& spec, WeightPieces* pieces) {
  DType dtype = DType::kF32;
  for (int64_t expert = 0; expert < spec.experts; ++expert) {
    const std::string name = ExpertTensor(spec, expert);
    Entry* entry = Find(name);
    if (entry == nullptr) {
      return TensorError(name, "missing, though tensors of other experts are there");
    }
    const StoredTensor& tensor = *entry->tensor;
    if (expert == 0) dtype = tensor.dtype;
    if (tensor.dtype != dtype) {
      return TensorError(name, "expected ", Name(dtype), " as of expert 0, got ",
                         Name(tensor.dtype));
    }
    SLUICE_RETURN_IF_ERROR(CheckShape(tensor, spec.shape));
    entry->used = true;
    pieces->push_back(entry->data());
  }
  return dtype;
}

absl::StatusOr<TensorType> WeightDirectory::Bind(const WeightSpec& spec) {
  WeightPieces pieces;
  absl::StatusOr<DType> dtype;
  std::string tensor = OwnTensor(spec);
  if (Entry* own = Find(tensor)) {
    dtype = BindWhole(*own, spec, &pieces);
  } else if (Entry* fused = Find(FusedTensor(spec))) {
    tensor = fused->tensor->name;
    dtype = BindRows(*fused, spec, &pieces);
  } else if (Contains(spec)) {
    tensor = ExpertTensor(spec, 0);
    dtype = BindExperts(spec, &pieces);
  } else {
    return TensorError(tensor, "missing, expected one of shape ", ShapeText(StackedShape(spec)));
  }
  SLUICE_RETURN_IF_ERROR(dtype.status());
  if (spec.shape.size() == 1 && *dtype != DType::kF32) {
    return TensorError(tensor, "expected f32, got ", Name(*dtype));
  }
  if (!CanDequantize(*dtype)) {
    return absl::UnimplementedError(
        absl::StrCat("tensor '", tensor, "': the format ", Name(*dtype), " is not supported"));
  }
  // A factor that was ignored would give other logits without a word.
  if (const std::string factor = absl::StrCat(spec.name, ".scale"); index_.contains(factor)) {
    return absl::UnimplementedError(absl::StrCat("tensor '", factor, "': a factor beside '", tensor,
                                                 "', as NVFP4 has, is not supported"));
  }
  const std::vector<int64_t> shape = StackedShape(spec);
  table_[spec.name] = std::move(pieces);
  return TensorType{*dtype, Shape(shape.begin(), shape.end())};
}

std::vector<absl::string_view> WeightDirectory::UnusedTensors() const {
  std::vector<absl::string_view> unused;
  for (const Entry& entry : entries_) {
    if (!entry.used) unused.push_back(entry.tensor->name);
  }
  return unused;
}

}  // namespace sluice
