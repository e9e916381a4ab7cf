#include "tests/support/source_walk.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "graph/dtype.h"
#include "models/files/gguf.h"

namespace sluice {
namespace {

// Forces a read of every byte, so that a sanitizer sees it.
template <typename Bytes>
void Touch(const Bytes& bytes) {
  volatile unsigned sink = 0;
  for (const auto byte : bytes) sink = sink + static_cast<unsigned>(byte);
}

std::string CheckArray(const MetadataValue& value) {
  const size_t size = static_cast<size_t>(value.size());
  if (const auto ints = value.AsInts(); ints.ok() && ints->size() != size) return "AsInts: size";
  if (const auto floats = value.AsFloats(); floats.ok() && floats->size() != size) {
    return "AsFloats: size";
  }
  const auto strings = value.AsStrings();
  if (strings.ok() != (value.element_type() == MetadataType::kString)) return "AsStrings: type";
  if (!strings.ok()) return "";
  if (strings->size() != size) return "AsStrings: size";
  for (const absl::string_view text : *strings) Touch(text);
  return "";
}

std::string CheckValue(const MetadataValue& value) {
  Touch(value.bytes());
  if (value.type() == MetadataType::kArray) {
    if (value.AsInt().ok() || value.AsString().ok()) return "an array read as a scalar";
    return CheckArray(value);
  }
  if (value.size() != 1) return "a scalar of another size than 1";
  const int readable =
      value.AsInt().ok() + value.AsFloat().ok() + value.AsBool().ok() + value.AsString().ok();
  // A u64 beyond int64_t has no accessor.
  if (readable != 1 && value.type() != MetadataType::kU64) return "not exactly one accessor fits";
  if (const auto text = value.AsString(); text.ok()) {
    const std::string printable = Printable(*text);
    const auto is_control = [](char c) { return (c >= 0 && c < 0x20) || c == 0x7F; };
    if (std::any_of(printable.begin(), printable.end(), is_control)) return "Printable: control";
  }
  return "";
}

std::string CheckTensor(const WeightSource& file, const StoredTensor& tensor) {
  if (tensor.shape.empty() || tensor.shape.size() > GgufLimits::kDims) return "rank";
  int64_t elements = 1;
  for (const int64_t size : tensor.shape) {
    if (size < 1 || __builtin_mul_overflow(elements, size, &elements)) return "shape";
  }
  if (ByteSize(tensor.dtype, elements) != tensor.bytes) return "bytes";
  if (file.Data(tensor).size() != static_cast<size_t>(tensor.bytes)) return "data size";
  if (reinterpret_cast<uintptr_t>(file.Data(tensor).data()) % WeightSource::kDataAlignment != 0) {
    return "alignment";
  }
  Touch(file.Data(tensor));
  return "";
}

}  // namespace

std::string WalkSource(const WeightSource& file) {
  for (const auto& [key, value] : file.metadata()) {
    if (file.Find(key) != &value) return absl::StrCat("Find: ", Printable(key));
    const std::string wrong = CheckValue(value);
    if (!wrong.empty()) return absl::StrCat(Printable(key), ": ", wrong);
  }
  for (const StoredTensor& tensor : file.tensors()) {
    if (file.FindTensor(tensor.name) != &tensor) {
      return absl::StrCat("FindTensor: ", Printable(tensor.name));
    }
    const std::string wrong = CheckTensor(file, tensor);
    if (!wrong.empty()) return absl::StrCat(Printable(tensor.name), ": ", wrong);
  }
  return file.CheckNotShrunk().ok() ? "" : "CheckNotShrunk";
}

}  // namespace sluice
