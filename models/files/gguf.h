// GGUF reading: header, metadata and tensor directory of one file, with every bound checked.
//
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3,
// little-endian). Nothing is copied but the directory: strings, arrays and tensor data are views
// into the mapped file, which a GgufFile keeps mapped while it lives. A file that is rewritten in
// place meanwhile gives wrong values but no access out of bounds; one that is cut short is the
// business of CheckNotShrunk() (see mapped_file.h).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "models/files/mapped_file.h"
#include "models/files/weight_source.h"

namespace sluice {

// What a file may hold. Beyond the format's own rules these keep the cost of a hostile file in
// proportion to its size.
struct GgufLimits {
  static constexpr int64_t kDims = 4;
  static constexpr int64_t kTensorNameBytes = 63;
  static constexpr int64_t kKeyBytes = 65535;
  static constexpr int64_t kStringBytes = int64_t{1} << 30;
  static constexpr int64_t kArrayElements = int64_t{1} << 30;
  static constexpr int64_t kEntries = int64_t{1} << 20;  // keys, and tensors
  // general.alignment is a power of two in this range; 8 is what typed access needs.
  static constexpr int64_t kMinAlignment = 8;
  static constexpr int64_t kMaxAlignment = int64_t{1} << 30;
  static constexpr int64_t kDefaultAlignment = 32;
  static constexpr bool IsAlignment(int64_t value) {
    return value >= kMinAlignment && value <= kMaxAlignment &&
           std::has_single_bit(static_cast<uint64_t>(value));
  }
};

// A GGUF file of version 2 or 3.
class GgufFile : public WeightSource {
 public:
  // Maps the file. Errors: those of MappedFile::Open, or InvalidArgument that names the file, the
  // place (key or tensor, byte) and what was expected there. Tensor data is not touched.
  static absl::StatusOr<std::unique_ptr<GgufFile>> Open(const std::string& path);
  static absl::StatusOr<std::unique_ptr<GgufFile>> FromMapping(std::unique_ptr<MappedFile> mapping);
  // Parses bytes that the caller keeps alive, e.g. the embedded model; they must begin at a
  // multiple of GgufLimits::kMinAlignment. `name` is for messages.
  static absl::StatusOr<std::unique_ptr<GgufFile>> FromMemory(absl::Span<const std::byte> bytes,
                                                              std::string name);

  std::string format() const override { return absl::StrCat("GGUF ", version_); }
  uint32_t version() const { return version_; }
  int64_t alignment() const { return alignment_; }

 private:
  friend class GgufReader;
  explicit GgufFile(std::unique_ptr<MappedFile> mapping) : WeightSource(std::move(mapping)) {}
  GgufFile(absl::Span<const std::byte> bytes, std::string name)
      : WeightSource(bytes, std::move(name)) {}

  uint32_t version_ = 0;
  int64_t alignment_ = GgufLimits::kDefaultAlignment;
};

}  // namespace sluice
