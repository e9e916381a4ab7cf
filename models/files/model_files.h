// The files that one model is stored in: a single one, or all parts of a split one. Their format is
// known by their first bytes; see file_format.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/files/file_format.h"
#include "models/files/weight_source.h"

namespace sluice {

// Never empty; the first one holds the metadata.
using ModelFiles = std::vector<std::unique_ptr<WeightSource>>;

// Opens one file. Errors name it: those of MappedFile::Open, of its format's reader, and
// InvalidArgument for a file of no known format or an option that its format has no use for.
absl::StatusOr<std::unique_ptr<WeightSource>> OpenModelFile(const std::string& path,
                                                            const FileOptions& options = {});

// Opens `path` and, where its key split.count says so, the other parts beside it.
//
// The parts of a model are called NAME-00001-of-00003.gguf and so on; `path` must be the first.
// Each has the keys split.no (from 0) and split.count, the first also split.tensors.count. Errors
// name the file: a part that is missing, in the wrong place or of another split, a tensor in two
// parts, a wrong number of tensors.
absl::StatusOr<ModelFiles> OpenModelFiles(const std::string& path, const FileOptions& options = {});

}  // namespace sluice
