// Access to a file's keys that remembers what was read: what is known and was not read is what a
// model does without.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "models/files/weight_source.h"

namespace sluice {

struct KeyRange {
  int64_t min;
  int64_t max;
};

// Typed, checked access to the keys that begin with `prefix`. Every way of looking at a key but
// FindUnread reads it, whether or not it is there.
class KeyReader {
 public:
  KeyReader(const WeightSource& file, std::string prefix)
      : file_(file), prefix_(std::move(prefix)) {}

  const MetadataValue* Find(absl::string_view key) const;  // nullptr if absent
  // The value of a key that is there and that nobody has read through this reader; else nullptr.
  const MetadataValue* FindUnread(absl::string_view key) const;

  // A key without a default is required.
  absl::StatusOr<const MetadataValue*> Required(absl::string_view key) const;
  absl::StatusOr<int64_t> Int(absl::string_view key, KeyRange range,
                              std::optional<int64_t> fallback = std::nullopt) const;
  // A finite float above zero.
  absl::StatusOr<double> Positive(absl::string_view key,
                                  std::optional<double> fallback = std::nullopt) const;
  absl::StatusOr<absl::string_view> String(absl::string_view key, absl::string_view fallback) const;
  absl::StatusOr<bool> Bool(absl::string_view key) const;
  // One value for all layers or an array with one for each. Empty if the key is absent.
  absl::StatusOr<std::vector<int64_t>> PerLayer(absl::string_view key, int64_t layers,
                                                KeyRange range) const;

  // "FILE: key 'KEY': MESSAGE"
  template <typename... Args>
  std::string About(absl::string_view key, const Args&... message) const {
    return absl::StrCat(file_.path(), ": key '", prefix_, key, "': ", message...);
  }
  template <typename... Args>
  absl::Status Error(absl::string_view key, const Args&... message) const {
    return absl::InvalidArgumentError(About(key, message...));
  }

 private:
  absl::Status CheckRange(absl::string_view key, int64_t value, KeyRange range) const {
    if (value >= range.min && value <= range.max) return absl::OkStatus();
    return Error(key, "expected ", range.min, " to ", range.max, ", got ", value);
  }

  const WeightSource& file_;
  std::string prefix_;
  mutable absl::flat_hash_set<std::string> read_;  // without the prefix
};

}  // namespace sluice
