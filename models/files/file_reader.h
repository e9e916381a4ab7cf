// What the readers of all file formats share: a walk through the bytes of a file, with messages
// that say where something was wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/dtype.h"
#include "graph/status_macros.h"

namespace sluice {

class FileReader {
 protected:
  // Both outlive this.
  FileReader(const std::string& path, absl::Span<const std::byte> bytes)
      : path_(path), bytes_(bytes) {}

  absl::Span<const std::byte> bytes() const { return bytes_; }
  size_t pos() const { return pos_; }
  size_t left() const { return bytes_.size() - pos_; }

  // Each returns what comes next and advances past it; errors are about that place from then on.
  absl::StatusOr<absl::Span<const std::byte>> Take(absl::string_view what, uint64_t size);
  absl::StatusOr<absl::string_view> TakeText(absl::string_view what, uint64_t size, uint64_t limit);
  // Not empty and without a NUL. Errors are about this name from then on.
  absl::StatusOr<absl::string_view> TakeName(uint64_t size, uint64_t limit);
  template <typename T>
  absl::StatusOr<T> TakeNumber(absl::string_view what) {
    SLUICE_ASSIGN_OR_RETURN(const auto raw, Take(what, sizeof(T)));
    T value;
    std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }

  // What errors are about from now on: entry `index` of a section, e.g. "tensor".
  void Enter(absl::string_view section, size_t index);
  // An entry that was read before, and a byte that belongs to it.
  void Revisit(absl::string_view section, absl::string_view name, size_t byte);

  // "FILE: tensor 'NAME' at byte N: MESSAGE"
  template <typename... Args>
  std::string About(const Args&... message) const {
    return absl::StrCat(path_, ": ", Place(), " at byte ", item_, ": ", message...);
  }
  template <typename... Args>
  absl::Status Error(const Args&... message) const {
    return absl::InvalidArgumentError(About(message...));
  }

  // The size of a tensor of that many elements in rows of `row` elements.
  absl::StatusOr<int64_t> SizeOf(DType dtype, int64_t row, int64_t elements) const;

 private:
  std::string Place() const;

  const std::string& path_;
  absl::Span<const std::byte> bytes_;
  size_t pos_ = 0;
  absl::string_view section_;  // "": the header
  size_t index_ = 0;
  absl::string_view name_;
  size_t item_ = 0;
};

}  // namespace sluice
