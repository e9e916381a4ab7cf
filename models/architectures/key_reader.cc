#include "models/architectures/key_reader.h"

#include <cmath>

#include "graph/status_macros.h"

namespace sluice {

const MetadataValue* KeyReader::Find(absl::string_view key) const {
  read_.emplace(key);
  return file_.Find(absl::StrCat(prefix_, key));
}

const MetadataValue* KeyReader::FindUnread(absl::string_view key) const {
  return read_.contains(key) ? nullptr : file_.Find(absl::StrCat(prefix_, key));
}

absl::StatusOr<const MetadataValue*> KeyReader::Required(absl::string_view key) const {
  if (const MetadataValue* value = Find(key)) return value;
  return absl::InvalidArgumentError(
      absl::StrCat(file_.path(), ": required key '", prefix_, key, "' is missing"));
}

absl::StatusOr<int64_t> KeyReader::Int(absl::string_view key, KeyRange range,
                                       std::optional<int64_t> fallback) const {
  int64_t result;
  if (fallback.has_value() && Find(key) == nullptr) {
    result = *fallback;
  } else {
    SLUICE_ASSIGN_OR_RETURN(const MetadataValue* value, Required(key));
    const absl::StatusOr<int64_t> number = value->AsInt();
    if (!number.ok()) return Error(key, number.status().message());
    result = *number;
  }
  SLUICE_RETURN_IF_ERROR(CheckRange(key, result, range));
  return result;
}

absl::StatusOr<double> KeyReader::Positive(absl::string_view key,
                                           std::optional<double> fallback) const {
  if (fallback.has_value() && Find(key) == nullptr) return *fallback;
  SLUICE_ASSIGN_OR_RETURN(const MetadataValue* value, Required(key));
  const absl::StatusOr<double> number = value->AsFloat();
  if (!number.ok()) return Error(key, number.status().message());
  if (std::isfinite(*number) && *number > 0) return *number;
  return Error(key, "expected a finite number above 0, got ", *number);
}

absl::StatusOr<absl::string_view> KeyReader::String(absl::string_view key,
                                                    absl::string_view fallback) const {
  const MetadataValue* value = Find(key);
  if (value == nullptr) return fallback;
  const absl::StatusOr<absl::string_view> text = value->AsString();
  if (!text.ok()) return Error(key, text.status().message());
  return *text;
}

absl::StatusOr<bool> KeyReader::Bool(absl::string_view key) const {
  SLUICE_ASSIGN_OR_RETURN(const MetadataValue* value, Required(key));
  const absl::StatusOr<bool> flag = value->AsBool();
  if (!flag.ok()) return Error(key, flag.status().message());
  return *flag;
}

absl::StatusOr<std::vector<int64_t>> KeyReader::PerLayer(absl::string_view key, int64_t layers,
                                                         KeyRange range) const {
  const MetadataValue* value = Find(key);
  if (value == nullptr) return std::vector<int64_t>();
  if (value->type() != MetadataType::kArray) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t number, Int(key, range));
    return std::vector<int64_t>(static_cast<size_t>(layers), number);
  }
  if (value->size() != layers) {  // before the array is copied
    return Error(key, "expected one value or one for each of the ", layers, " layers, got ",
                 value->size());
  }
  const absl::StatusOr<std::vector<int64_t>> numbers = value->AsInts();
  if (!numbers.ok()) return Error(key, numbers.status().message());
  for (const int64_t number : *numbers) SLUICE_RETURN_IF_ERROR(CheckRange(key, number, range));
  return *numbers;
}

}  // namespace sluice
