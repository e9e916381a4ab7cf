#include "models/files/output_file.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice {

absl::Status CheckDiskSpace(const std::string& path, int64_t bytes,
                            std::optional<int64_t> available) {
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(folder, error);
  if (error) {
    return absl::NotFoundError(absl::StrCat(folder.string(), ": ", error.message()));
  }
  const int64_t left = available.value_or(static_cast<int64_t>(space.available));
  if (left >= bytes) return absl::OkStatus();
  constexpr double kGiB = 1 << 30;
  return absl::ResourceExhaustedError(
      absl::StrFormat("%s: the file needs %.2f GiB, the disk has %.2f GiB left", path,
                      static_cast<double>(bytes) / kGiB, static_cast<double>(left) / kGiB));
}

absl::Status CheckNotSameFile(const std::string& path, const std::string& input) {
  std::error_code error;  // an output that does not exist yet is no other file
  if (!std::filesystem::equivalent(input, path, error)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": is the input, too: the output must be another file"));
}

}  // namespace sluice
