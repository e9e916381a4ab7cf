// Reading tokenizer.ggml.* keys, with messages that name the file and the key.
#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "models/files/weight_source.h"

namespace sluice {

inline constexpr absl::string_view kModelKey = "tokenizer.ggml.model";
inline constexpr absl::string_view kPreKey = "tokenizer.ggml.pre";
inline constexpr absl::string_view kTokensKey = "tokenizer.ggml.tokens";
inline constexpr absl::string_view kTypesKey = "tokenizer.ggml.token_type";
inline constexpr absl::string_view kScoresKey = "tokenizer.ggml.scores";
inline constexpr absl::string_view kMergesKey = "tokenizer.ggml.merges";
inline constexpr absl::string_view kAddBosKey = "tokenizer.ggml.add_bos_token";
inline constexpr absl::string_view kAddEosKey = "tokenizer.ggml.add_eos_token";
inline constexpr absl::string_view kAddSpaceKey = "tokenizer.ggml.add_space_prefix";
inline constexpr absl::string_view kLowerCaseKey = "tokenizer.ggml.normalizer.lowercase";
inline constexpr absl::string_view kStripAccentsKey = "tokenizer.ggml.normalizer.strip_accents";

// "FILE: key 'KEY': MESSAGE"
template <typename... Args>
std::string AboutKey(const WeightSource& file, absl::string_view key, const Args&... message) {
  return absl::StrCat(file.path(), ": key '", key, "': ", message...);
}

template <typename... Args>
absl::Status KeyError(const WeightSource& file, absl::string_view key, const Args&... message) {
  return absl::InvalidArgumentError(AboutKey(file, key, message...));
}

// What `as` (a conversion such as &MetadataValue::AsBool) makes of the key's value, or `fallback`
// if the file has no such key.
template <typename T>
absl::StatusOr<T> ReadKey(const WeightSource& file, absl::string_view key,
                          absl::StatusOr<T> (MetadataValue::*as)() const, T fallback) {
  const MetadataValue* const found = file.Find(key);
  if (found == nullptr) return fallback;
  absl::StatusOr<T> value = (found->*as)();
  if (value.ok()) return value;
  return absl::Status(value.status().code(), AboutKey(file, key, value.status().message()));
}

}  // namespace sluice
