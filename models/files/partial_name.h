// Names of files that are not complete, and what killed processes leave under them.
#pragma once

#include <sys/stat.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/files/file_descriptor.h"

namespace sluice {

inline constexpr int kPartialNameAttempts = 100;

// ".NAME.sluice-0123456789abcdef.partial" with a number by chance; of a long NAME only the first
// part.
std::string NewPartialName(absl::string_view name);

struct PartialFile {
  FileDescriptor file = {};  // for reading and writing, and locked where the file system has locks
  std::string name;
};

// A new file of such a name in `folder`. Errors tell the call.
absl::StatusOr<PartialFile> CreatePartial(int folder, absl::string_view name, mode_t mode);

// Removes the regular files of such names for `name` in `folder` that no process holds, and nothing
// else. What cannot be removed stays.
void RemoveAbandoned(int folder, absl::string_view name);

}  // namespace sluice
