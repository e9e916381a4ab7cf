#include "models/files/partial_name.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

constexpr absl::string_view kSuffix = ".partial";
constexpr size_t kDigits = 16;
constexpr size_t kMostNameBytes = 200;  // of the 255 that file systems take

std::string PrefixOf(absl::string_view name) {
  return absl::StrCat(".", name.substr(0, kMostNameBytes), ".sluice-");
}

bool IsPartialName(absl::string_view entry, absl::string_view prefix) {
  return absl::ConsumePrefix(&entry, prefix) && absl::ConsumeSuffix(&entry, kSuffix) &&
         entry.size() == kDigits && std::all_of(entry.begin(), entry.end(), absl::ascii_isxdigit);
}

// Whether `name` is the open file still.
bool Names(int folder, const std::string& name, int file) {
  struct stat by_name, open_file;
  return fstatat(folder, name.c_str(), &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
         fstat(file, &open_file) == 0 && by_name.st_ino == open_file.st_ino &&
         by_name.st_dev == open_file.st_dev;
}

}  // namespace

std::string NewPartialName(absl::string_view name) {
  uint64_t number = 0;
  // Without random numbers the time has to do: a name that is taken is tried again.
  if (getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number) {
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    number = static_cast<uint64_t>(now.tv_sec) << 32 | static_cast<uint64_t>(now.tv_nsec);
  }
  return absl::StrCat(PrefixOf(name), absl::Hex(number, absl::kZeroPad16), kSuffix);
}

absl::StatusOr<PartialFile> CreatePartial(int folder, absl::string_view name, mode_t mode) {
  for (int attempt = 0; attempt < kPartialNameAttempts; ++attempt) {
    PartialFile partial = {.name = NewPartialName(name)};
    partial.file = FileDescriptor(openat(folder, partial.name.c_str(),
                                         O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!partial.file.is_open()) {
      if (errno == EEXIST) continue;
      return absl::ErrnoToStatus(errno, "cannot create a file in its folder (openat)");
    }
    // Another process may have found the file before it was locked and taken it for abandoned.
    const bool is_locked = flock(partial.file.get(), LOCK_EX | LOCK_NB) == 0;
    if ((is_locked || errno != EWOULDBLOCK) && Names(folder, partial.name, partial.file.get())) {
      return partial;
    }
  }
  return absl::UnavailableError("cannot create a file in its folder: all names are taken (openat)");
}

void RemoveAbandoned(int folder, absl::string_view name) {
  FileDescriptor own(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own.is_open()) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(own.get()), closedir);
  if (entries == nullptr) return;
  own.Release();  // closed by closedir()
  const std::string prefix = PrefixOf(name);
  while (const dirent* const entry = readdir(entries.get())) {
    if (!IsPartialName(entry->d_name, prefix)) continue;
    const std::string found = entry->d_name;
    const FileDescriptor file(
        openat(folder, found.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info;
    if (!file.is_open() || fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) continue;
    if (Names(folder, found, file.get())) unlinkat(folder, found.c_str(), 0);
  }
}

}  // namespace sluice
