// Files from before GGUF: LLaMA models with the magics ggml, ggmf (version 1) and ggjt (1 to 3).
//
// In this order, where numbers are u32:
//   magic, and but for ggml a version
//   n_vocab, n_embd, n_mult, n_head, n_layer, n_rot, ftype
//   n_vocab tokens: length, bytes, and but for ggml a score (f32)
//   tensors up to the end of the file: number of dimensions, name length, type,
//     dimensions (innermost first), name, in ggjt padding up to a multiple of 32, data
//
// What such files leave out is filled in: contexts of 2048 tokens, epsilon 1e-5, rotation base
// 10000, and how many heads share a key-value head from FileOptions or the weights' shapes.
// Blocks of quantised weights changed twice, with ggjt 2 and 3. Those that are not laid out as
// today are refused, and so is a model in several parts, whose rows or columns would have to be
// joined.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/files/file_format.h"
#include "models/files/mapped_file.h"
#include "models/files/weight_source.h"

namespace sluice {

class GgmlFile : public WeightSource {
 public:
  // Errors: InvalidArgument that names the file, the place (token or tensor, byte) and what was
  // expected there; Unimplemented for blocks of another layout than today's and for one of several
  // parts.
  static absl::StatusOr<std::unique_ptr<GgmlFile>> FromMapping(std::unique_ptr<MappedFile> mapping,
                                                               const FileOptions& options);
  // Parses bytes that the caller keeps alive. `name` is for messages.
  static absl::StatusOr<std::unique_ptr<GgmlFile>> FromMemory(absl::Span<const std::byte> bytes,
                                                              std::string name,
                                                              const FileOptions& options = {});

  std::string format() const override { return format_; }  // "ggml", "ggjt 3"

  // In ggml and ggmf files data begins anywhere. Tensors that are not at a multiple of
  // kDataAlignment were copied when the file was opened; all others are used in place.
  absl::Span<const std::byte> Data(const StoredTensor& tensor) const override;

 private:
  friend class GgmlReader;
  explicit GgmlFile(std::unique_ptr<MappedFile> mapping) : WeightSource(std::move(mapping)) {}
  GgmlFile(absl::Span<const std::byte> bytes, std::string name)
      : WeightSource(bytes, std::move(name)) {}

  void AddString(absl::string_view key, absl::string_view text);
  template <typename T>
  void AddNumber(absl::string_view key, MetadataType type, T value);
  void AddArray(absl::string_view key, MetadataType element, size_t size, std::string payload);
  absl::Span<const std::byte> Keep(std::string payload);
  void CopyUnalignedTensors();

  std::string format_;
  std::deque<std::string> payloads_;  // of metadata; their addresses stay
  absl::flat_hash_map<int64_t, std::vector<std::byte>> copies_;  // of data, by offset
};

}  // namespace sluice
