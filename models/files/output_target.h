// What a path to write to names, and what speaks against writing there.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/files/file_descriptor.h"

namespace sluice {

struct OutputTarget {
  std::string path;                     // as it was given, for messages
  std::optional<struct stat> old = {};  // of the node, symlinks followed; nullopt: there is none
  // Of a regular file, or one to be: where it stands when all symlinks were followed.
  FileDescriptor folder = {};
  std::string name = {};

  bool is_stream() const { return old.has_value() && !S_ISREG(old->st_mode); }
};

// Errors name the path and what was expected: a folder, a missing or closed one above, a loop of
// symlinks, a file that we may not write, one that cannot be replaced (a mount point, an immutable
// one), one of `inputs` under any name, a node that is neither a regular file, a FIFO nor a
// character device.
absl::StatusOr<OutputTarget> FindOutputTarget(const std::string& path,
                                              absl::Span<const std::string> inputs);

// Whether what now stands under the target's name, if anything, may be replaced.
absl::Status CheckReplaceable(const OutputTarget& target);

// Of errno: "PATH: cannot WHAT (CALL): REASON".
absl::Status CallFailed(absl::string_view path, absl::string_view what, absl::string_view call);

}  // namespace sluice
