#include "models/weight_directory.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
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

}  // namespace

WeightDirectory::WeightDirectory(const GgufFile& file)
    : file_(file), used_(file.tensors().size(), false) {}

const GgufTensor* WeightDirectory::FindFused(const WeightSpec& spec) const {
  if (spec.fused.tensor.empty()) return nullptr;
  return file_.FindTensor(absl::StrCat(spec.fused.tensor, Suffix(spec)));
}

bool WeightDirectory::Contains(const WeightSpec& spec) const {
  return file_.FindTensor(OwnTensor(spec)) != nullptr || FindFused(spec) != nullptr ||
         (spec.experts > 0 && file_.FindTensor(ExpertTensor(spec, 0)) != nullptr);
}

absl::Status WeightDirectory::Use(const GgufTensor& tensor,
                                  absl::Span<const int64_t> expected_shape) {
  if (WithoutLeadingOnes(tensor.shape) != WithoutLeadingOnes(expected_shape)) {
    return TensorError(tensor.name, "expected the shape ", ShapeText(expected_shape), ", got ",
                       ShapeText(tensor.shape));
  }
  used_[static_cast<size_t>(&tensor - file_.tensors().data())] = true;
  return absl::OkStatus();
}

absl::StatusOr<DType> WeightDirectory::BindWhole(const GgufTensor& tensor, const WeightSpec& spec,
                                                 WeightPieces* pieces) {
  SLUICE_RETURN_IF_ERROR(Use(tensor, StackedShape(spec)));
  pieces->push_back(file_.Data(tensor));
  return tensor.dtype;
}

absl::StatusOr<DType> WeightDirectory::BindRows(const GgufTensor& tensor, const WeightSpec& spec,
                                                WeightPieces* pieces) {
  WeightSpec fused = spec;
  fused.shape[0] = spec.fused.total;
  SLUICE_RETURN_IF_ERROR(Use(tensor, StackedShape(fused)));
  // Rows are whole blocks, so that ranges of them are ranges of bytes.
  const absl::Span<const std::byte> data = file_.Data(tensor);
  const int64_t experts = std::max<int64_t>(spec.experts, 1);
  const int64_t row_bytes = tensor.bytes / (experts * spec.fused.total);
  for (int64_t expert = 0; expert < experts; ++expert) {
    const int64_t first = expert * spec.fused.total + spec.fused.first;
    pieces->push_back(data.subspan(static_cast<size_t>(first * row_bytes),
                                   static_cast<size_t>(spec.shape[0] * row_bytes)));
  }
  return tensor.dtype;
}

absl::StatusOr<DType> WeightDirectory::BindExperts(const WeightSpec& spec, WeightPieces* pieces) {
  DType dtype = DType::kF32;
  for (int64_t expert = 0; expert < spec.experts; ++expert) {
    const std::string name = ExpertTensor(spec, expert);
    const GgufTensor* tensor = file_.FindTensor(name);
    if (tensor == nullptr) {
      return TensorError(name, "missing, though tensors of other experts are there");
    }
    if (expert == 0) dtype = tensor->dtype;
    if (tensor->dtype != dtype) {
      return TensorError(name, "expected ", Name(dtype), " as of expert 0, got ",
                         Name(tensor->dtype));
    }
    SLUICE_RETURN_IF_ERROR(Use(*tensor, spec.shape));
    pieces->push_back(file_.Data(*tensor));
  }
  return dtype;
}

absl::StatusOr<TensorType> WeightDirectory::Bind(const WeightSpec& spec) {
  WeightPieces pieces;
  absl::StatusOr<DType> dtype;
  std::string tensor = OwnTensor(spec);
  if (const GgufTensor* own = file_.FindTensor(tensor)) {
    dtype = BindWhole(*own, spec, &pieces);
  } else if (const GgufTensor* fused = FindFused(spec)) {
    tensor = fused->name;
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
  const std::vector<int64_t> shape = StackedShape(spec);
  table_[spec.name] = std::move(pieces);
  return TensorType{*dtype, Shape(shape.begin(), shape.end())};
}

std::vector<absl::string_view> WeightDirectory::UnusedTensors() const {
  std::vector<absl::string_view> unused;
  for (size_t i = 0; i < used_.size(); ++i) {
    if (!used_[i]) unused.push_back(file_.tensors()[i].name);
  }
  return unused;
}

}  // namespace sluice
