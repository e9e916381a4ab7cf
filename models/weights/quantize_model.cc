#include "models/weights/quantize_model.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "graph/formats/dequantize.h"
#include "graph/status_macros.h"
#include "models/files/gguf_writer.h"
#include "models/weights/convert_tensor.h"

namespace sluice {
namespace {

constexpr absl::string_view kFileTypeKey = "general.file_type";
constexpr absl::string_view kVersionKey = "general.quantization_version";

absl::Status Wrong(const WeightSource& file, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(file.path(), ": ", what));
}

// 0 where the key is missing or no integer.
int64_t IntOf(const WeightSource& file, absl::string_view key) {
  const MetadataValue* const value = file.Find(key);
  return value != nullptr ? value->AsInt().value_or(0) : 0;
}

bool HasTensor(const ModelFiles& files, absl::string_view name) {
  return std::any_of(files.begin(), files.end(),
                     [name](const auto& file) { return file->FindTensor(name) != nullptr; });
}

absl::StatusOr<MixModel> MixModelOf(const ModelFiles& files) {
  const WeightSource& file = *files[0];
  const MetadataValue* const architecture = file.Find("general.architecture");
  if (architecture == nullptr || !architecture->AsString().ok()) {
    return Wrong(file, "key 'general.architecture': expected a string, but there is none");
  }
  MixModel model = {.architecture = *architecture->AsString()};
  const auto number = [&](absl::string_view key) {
    return IntOf(file, absl::StrCat(model.architecture, ".", key));
  };
  model.layers = number("block_count");
  model.heads = number("attention.head_count");
  model.kv_heads = number("attention.head_count_kv");
  model.experts = number("expert_count");
  model.tied_output = !HasTensor(files, "output.weight");
  if (model.layers < 1) {
    return Wrong(file, absl::StrCat("key '", model.architecture,
                                    ".block_count': expected a number of layers"));
  }
  return model;
}

bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

absl::StatusOr<DType> DTypeOf(const StoredTensor& tensor, const MixModel& model,
                              const QuantizeOptions& options) {
  const bool is_weight = IsFloat(tensor.dtype) || IsBlockFormat(tensor.dtype);
  if (!is_weight || !IsQuantisable(tensor.name, tensor.shape)) return tensor.dtype;
  const int64_t columns = tensor.shape.back();
  for (const TypeOverride& override : options.overrides) {
    SLUICE_ASSIGN_OR_RETURN(const bool matches, override.Matches(tensor.name));
    if (matches) return FittingDType(override.dtype(), columns);
  }
  if (options.pure) return FittingDType(options.mix->dtype, columns);
  return DTypeInMix(*options.mix, model, tensor.name, tensor.shape);
}

absl::Status CheckSource(const WeightSource& file, const StoredTensor& tensor, DType to,
                         const QuantizeOptions& options) {
  if (tensor.dtype == to) return absl::OkStatus();
  const auto wrong = [&](absl::string_view what) {
    return Wrong(file, absl::StrCat("tensor '", Printable(tensor.name), "': ", what));
  };
  if (!CanDequantize(tensor.dtype)) {
    return wrong(absl::StrCat("the format ", Name(tensor.dtype), " cannot be decoded"));
  }
  if (IsBlockFormat(tensor.dtype) && !options.allow_requantize) {
    return wrong(absl::StrCat("is ", Name(tensor.dtype), " already, and would lose twice as ",
                              Name(to),
                              ": begin with a file of f32, f16 or bf16 "
                              "(--allow-requantize does it anyway)"));
  }
  return absl::OkStatus();
}

// All that `file` has, but for what describes its formats and its parts.
void CopyMetadata(const WeightSource& file, const QuantisationMix& mix, GgufWriter* writer) {
  for (const auto& [key, value] : file.metadata()) {
    const bool describes_file = key == kFileTypeKey || key == kVersionKey ||
                                key == "general.alignment" || absl::StartsWith(key, "split.");
    if (!describes_file) writer->SetValue(key, value);
  }
  writer->SetU32(kVersionKey, kQuantizationVersion);
  writer->SetU32(kFileTypeKey, mix.file_type);
}

absl::Status Convert(const TensorPlan& plan, const ConvertOptions& options,
                     absl::Span<std::byte> out) {
  SLUICE_RETURN_IF_ERROR(plan.file->CheckNotShrunk());
  const absl::Span<const std::byte> in = plan.file->Data(*plan.tensor);
  const absl::Status status = ConvertTensor(plan.tensor->dtype, in, plan.dtype, out, options);
  plan.file->Release(in);
  return status;
}

}  // namespace

int64_t TensorPlan::elements() const {
  return std::accumulate(tensor->shape.begin(), tensor->shape.end(), int64_t{1},
                         std::multiplies<>());
}

int64_t TensorPlan::bytes() const { return ByteSize(dtype, elements()).value_or(0); }

absl::StatusOr<std::vector<TensorPlan>> PlanQuantization(const ModelFiles& files,
                                                         const QuantizeOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const MixModel model, MixModelOf(files));
  std::vector<TensorPlan> plan;
  for (const auto& file : files) {
    for (const StoredTensor& tensor : file->tensors()) {
      SLUICE_ASSIGN_OR_RETURN(const DType dtype, DTypeOf(tensor, model, options));
      SLUICE_RETURN_IF_ERROR(CheckSource(*file, tensor, dtype, options));
      plan.push_back({file.get(), &tensor, dtype});
    }
  }
  return plan;
}

absl::Status WriteQuantized(const ModelFiles& files, absl::Span<const TensorPlan> plan,
                            const QuantizeOptions& options, const std::string& path) {
  GgufWriter writer;
  CopyMetadata(*files[0], *options.mix, &writer);
  const ConvertOptions convert = {.threads = options.threads, .on_written = options.on_written};
  for (const TensorPlan& tensor : plan) {
    writer.AddTensor(
        tensor.tensor->name, tensor.dtype, tensor.tensor->shape,
        [&tensor, &convert](absl::Span<std::byte> out) { return Convert(tensor, convert, out); });
  }
  GgufWriteOptions write = {.output = {.available = options.disk_bytes}};
  for (const auto& file : files) write.output.inputs.push_back(file->path());
  return writer.Write(path, write);
}

}  // namespace sluice
