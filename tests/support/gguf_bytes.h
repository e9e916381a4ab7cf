// GGUF files spelled out byte by byte, so that tests can write what GgufWriter refuses to.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/files/gguf.h"

namespace sluice {

template <typename T>
std::string Le(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}

inline std::string Text(absl::string_view text) {
  return absl::StrCat(Le(uint64_t{text.size()}), text);
}

// A metadata record; `payload` is what follows the type.
inline std::string Key(absl::string_view name, uint32_t type, absl::string_view payload) {
  return absl::StrCat(Text(name), Le(type), payload);
}
inline std::string Key(absl::string_view name, MetadataType type, absl::string_view payload) {
  return Key(name, static_cast<uint32_t>(type), payload);
}
inline std::string ArrayKey(absl::string_view name, MetadataType element, uint64_t count,
                            absl::string_view payload) {
  return Key(name, MetadataType::kArray, absl::StrCat(Le(element), Le(count), payload));
}

// A directory record; `dims` in the file's order, innermost first.
inline std::string Record(absl::string_view name, std::initializer_list<uint64_t> dims,
                          uint32_t ggml_type, uint64_t offset) {
  std::string out = absl::StrCat(Text(name), Le(static_cast<uint32_t>(dims.size())));
  for (const uint64_t size : dims) absl::StrAppend(&out, Le(size));
  return absl::StrCat(out, Le(ggml_type), Le(offset));
}

struct GgufBytes {
  uint32_t version = 3;
  std::vector<std::string> keys = {};
  std::vector<std::string> tensors = {};
  std::string data = {};
  size_t alignment = 32;  // of the data section

  std::string Build() const {
    std::string out =
        absl::StrCat("GGUF", Le(version), Le(uint64_t{tensors.size()}), Le(uint64_t{keys.size()}));
    for (const std::string& key : keys) out += key;
    for (const std::string& tensor : tensors) out += tensor;
    if (data.empty()) return out;
    out.resize((out.size() + alignment - 1) / alignment * alignment);
    return out + data;
  }
};

inline absl::Span<const std::byte> AsBytes(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace sluice
