// Changes to a model file's metadata, written as a copy of the file.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/files/gguf.h"

namespace sluice {

struct MetadataEdit {
  std::string key;
  std::optional<std::string> value;                 // nullopt removes the key
  std::optional<MetadataType> type = std::nullopt;  // nullopt: that of the existing key
};

// "key=value" or "key:type=value", with the type names of Name(MetadataType).
absl::StatusOr<MetadataEdit> ParseMetadataEdit(absl::string_view text);

// Writes `file` with the edits to `path`; tensor data is copied as it is. Existing keys keep their
// place, new ones come last. Nothing is left at `path` unless our own reader takes the outcome; nor
// may an edit turn a file that loads as a model into one that does not. Errors name the key: one
// that is given twice, missing or of unknown type, a value that its type cannot hold, an array.
absl::Status WriteEdited(const GgufFile& file, absl::Span<const MetadataEdit> edits,
                         const std::string& path);

}  // namespace sluice
