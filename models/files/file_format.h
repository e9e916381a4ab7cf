// The known formats of model files. Each is one reader that defines its record, and one line in
// model_files.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/files/mapped_file.h"
#include "models/files/weight_source.h"

namespace sluice {

// What a user knows and a file of some formats does not say. Formats whose files do say so refuse
// it.
struct FileOptions {
  int64_t gqa = 0;  // attention heads that share one key-value head; 0: not given
};

inline constexpr size_t kMagicBytes = 4;

// What a file of a format begins with.
struct Magic {
  absl::string_view bytes;  // kMagicBytes of them
  absl::string_view name;   // of the kind of file
};

struct FileFormat {
  absl::Span<const Magic> magics;
  absl::StatusOr<std::unique_ptr<WeightSource>> (*open)(std::unique_ptr<MappedFile> mapping,
                                                        const FileOptions& options);
};

extern const FileFormat kGgufFormat;
extern const FileFormat kGgmlFormat;

// The one of all formats that `first_bytes` begin with; nullptr: no model file.
const Magic* FindMagic(absl::string_view first_bytes);

}  // namespace sluice
