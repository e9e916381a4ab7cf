#include "tools/inspect/gguf_report.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/inspect/metadata.h"
#include "tools/terminal/markdown_table.h"
#include "tools/terminal/units.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

std::string TypeText(const MetadataValue& value) {
  if (value.type() != MetadataType::kArray) return std::string(Name(value.type()));
  return absl::StrCat(Name(value.element_type()), "[]");
}

template <typename T>
Json ListJson(const absl::StatusOr<std::vector<T>>& values) {
  Json list = Json::array();
  if (!values.ok()) return list;
  for (const T& value : *values) {
    if constexpr (std::is_same_v<T, absl::string_view>) {
      list.push_back(std::string(value));
    } else {
      list.push_back(value);
    }
  }
  return list;
}

// Bools and f64, for which MetadataValue has no reader of arrays, as numbers.
template <typename T>
Json BytesJson(const MetadataValue& value) {
  Json list = Json::array();
  for (size_t at = 0; at < value.bytes().size(); at += sizeof(T)) {
    T element;
    std::memcpy(&element, &value.bytes()[at], sizeof(T));
    list.push_back(element);
  }
  return list;
}

Json ArrayJson(const MetadataValue& value) {
  switch (value.element_type()) {
    case MetadataType::kString:
      return ListJson(value.AsStrings());
    case MetadataType::kF32:
      return ListJson(value.AsFloats());
    case MetadataType::kF64:
      return BytesJson<double>(value);
    case MetadataType::kU64:
      return BytesJson<uint64_t>(value);
    case MetadataType::kBool:
      return BytesJson<uint8_t>(value);
    default:
      return ListJson(value.AsInts());
  }
}

Json ScalarJson(const MetadataValue& value) {
  if (value.type() == MetadataType::kU64)
    return BytesJson<uint64_t>(value)[0];  // may exceed AsInt()
  if (const auto text = value.AsString(); text.ok()) return std::string(*text);
  if (const auto flag = value.AsBool(); flag.ok()) return *flag;
  if (const auto number = value.AsInt(); number.ok()) return *number;
  return value.AsFloat().value_or(0);
}

Json MetadataJson(const GgufFile& file, bool full) {
  Json list = Json::array();
  for (const auto& [key, value] : file.metadata()) {
    Json entry = {{"key", std::string(key)}, {"type", TypeText(value)}};
    if (value.type() != MetadataType::kArray) {
      entry["value"] = ScalarJson(value);
    } else {
      entry["size"] = value.size();
      if (full) entry["value"] = ArrayJson(value);
    }
    list.push_back(std::move(entry));
  }
  return list;
}

Json TensorsJson(const GgufFile& file) {
  Json list = Json::array();
  for (const StoredTensor& tensor : file.tensors()) {
    list.push_back({{"name", tensor.name},
                    {"type", std::string(Name(tensor.dtype))},
                    {"shape", tensor.shape},
                    {"bytes", tensor.bytes},
                    {"offset", tensor.offset}});
  }
  return list;
}

}  // namespace

std::string GgufText(const GgufFile& file, bool full) {
  std::string text = absl::StrCat(Printable(file.path(), 1000), ": GGUF ", file.version(),
                                  ", alignment ", file.alignment(), "\n\n");
  const NamedTexts values = AllMetadata(file, full);
  for (size_t i = 0; i < values.size(); ++i) {
    absl::StrAppend(&text, values[i].first, ": ", TypeText(file.metadata()[i].second), " = ",
                    values[i].second, "\n");
  }
  std::vector<std::vector<std::string>> rows = {{"tensor", "shape", "type", "bytes", "offset"}};
  int64_t bytes = 0;
  for (const StoredTensor& tensor : file.tensors()) {
    bytes += tensor.bytes;
    rows.push_back({Printable(tensor.name), absl::StrJoin(tensor.shape, "x"),
                    std::string(Name(tensor.dtype)), absl::StrCat(tensor.bytes),
                    absl::StrCat(tensor.offset)});
  }
  return absl::StrCat(text, "\n", MarkdownTable(rows), "\n", file.tensors().size(), " tensors, ",
                      BytesText(static_cast<double>(bytes)), "\n");
}

std::string GgufJson(const GgufFile& file, bool full) {
  const Json json = {{"path", file.path()},
                     {"version", file.version()},
                     {"alignment", file.alignment()},
                     {"metadata", MetadataJson(file, full)},
                     {"tensors", TensorsJson(file)}};
  // Texts of a file may be any bytes.
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace sluice
