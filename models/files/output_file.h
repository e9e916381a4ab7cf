// Questions about a file that is to be written, for before long work, not after.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"

namespace sluice {

// ResourceExhausted with both sizes if `bytes` are more than what the disk of `path`, which need
// not exist, has left for us; NotFound if its folder does not exist. `available` stands in for what
// the disk has.
absl::Status CheckDiskSpace(const std::string& path, int64_t bytes,
                            std::optional<int64_t> available = std::nullopt);

// InvalidArgument if `path` is the file `input` under this or any other name.
absl::Status CheckNotSameFile(const std::string& path, const std::string& input);

}  // namespace sluice
