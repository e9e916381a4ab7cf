#include "models/files/output_target.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

absl::Status Refused(absl::string_view path, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": ", why));
}

// With the slash at the end; "" for a name alone.
std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

// Where the symlinks lead that `path` may be the first of. What is there need not exist.
absl::StatusOr<std::string> FollowLinks(const std::string& path) {
  constexpr int kMostLinks = 40;  // the kernel's own limit
  std::string at = path;
  for (int i = 0; i <= kMostLinks; ++i) {
    std::string link(PATH_MAX, '\0');
    const ssize_t length = readlink(at.c_str(), link.data(), link.size());
    if (length < 0 && (errno == EINVAL || errno == ENOENT)) return at;  // no link, nothing
    if (length < 0) return CallFailed(path, "read a symlink", "readlink");
    link.resize(static_cast<size_t>(length));
    at = link[0] == '/' ? link : FolderOf(at) + link;
  }
  errno = ELOOP;
  return CallFailed(path, "follow symlinks", "readlink");
}

absl::string_view KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISBLK(mode)) return "a block device";
  if (S_ISSOCK(mode)) return "a socket";
  return "no regular file";
}

absl::Status CheckKind(const std::string& path, mode_t mode) {
  if (S_ISREG(mode) || S_ISFIFO(mode) || S_ISCHR(mode)) return absl::OkStatus();
  return Refused(path, absl::StrCat("is ", KindOf(mode),
                                    ", expected the name of a file to write (or a FIFO, or a "
                                    "character device)"));
}

absl::Status CheckInputs(const OutputTarget& target, absl::Span<const std::string> inputs) {
  for (const std::string& input : inputs) {
    struct stat info;
    if (stat(input.c_str(), &info) != 0) continue;  // an input that is gone is no output
    if (info.st_dev == target.old->st_dev && info.st_ino == target.old->st_ino) {
      return absl::InvalidArgumentError(
          absl::StrCat(target.path, ": is the input, too: the output must be another file"));
    }
  }
  return absl::OkStatus();
}

// What only the rename at the very end would find out.
absl::Status CheckAttributes(const OutputTarget& target) {
  struct statx info;
  if (statx(target.folder.get(), target.name.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &info) !=
      0) {
    return absl::OkStatus();  // an old kernel
  }
  const auto has = [&](uint64_t bit) { return (info.stx_attributes & bit) != 0; };
  if (has(STATX_ATTR_MOUNT_ROOT)) {
    return Refused(target.path, "is a mount point, which no other file can take the place of");
  }
  if (has(STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) {
    return Refused(target.path, "is immutable or append-only (chattr) and cannot be replaced");
  }
  return absl::OkStatus();
}

absl::Status FindFolder(OutputTarget* target) {
  SLUICE_ASSIGN_OR_RETURN(const std::string last, FollowLinks(target->path));
  std::string folder = FolderOf(last);
  target->name = last.substr(folder.size());
  if (target->name.empty()) {
    return Refused(target->path.empty() ? "''" : target->path, "expected the name of a file");
  }
  if (folder.empty()) folder = "./";
  // For its fsync() it must be open for reading, which a folder may forbid.
  target->folder = FileDescriptor(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!target->folder.is_open() && errno == EACCES) {
    target->folder = FileDescriptor(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  if (target->folder.is_open()) return absl::OkStatus();
  return CallFailed(target->path, absl::StrCat("open its folder '", folder, "'"), "open");
}

}  // namespace

absl::Status CallFailed(absl::string_view path, absl::string_view what, absl::string_view call) {
  return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot ", what, " (", call, ")"));
}

absl::StatusOr<OutputTarget> FindOutputTarget(const std::string& path,
                                              absl::Span<const std::string> inputs) {
  OutputTarget target = {.path = path};
  // The kernel follows links first, so that its rules on whose links to follow hold.
  const FileDescriptor node(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!node.is_open() && errno != ENOENT) return CallFailed(path, "open", "open");
  if (node.is_open()) {
    struct stat info;
    if (fstat(node.get(), &info) != 0) return CallFailed(path, "look at it", "fstat");
    target.old = info;
    SLUICE_RETURN_IF_ERROR(CheckKind(path, info.st_mode));
    SLUICE_RETURN_IF_ERROR(CheckInputs(target, inputs));
    if (faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) != 0) {
      return CallFailed(path, "write", "faccessat");
    }
    if (target.is_stream()) return target;
  }
  SLUICE_RETURN_IF_ERROR(FindFolder(&target));
  struct stat info;
  const bool exists =
      fstatat(target.folder.get(), target.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
  if (exists != target.old.has_value() ||
      (exists && (info.st_ino != target.old->st_ino || info.st_dev != target.old->st_dev))) {
    return absl::UnavailableError(absl::StrCat(path, ": changes while it is looked at"));
  }
  if (exists) SLUICE_RETURN_IF_ERROR(CheckAttributes(target));
  return target;
}

absl::Status CheckReplaceable(const OutputTarget& target) {
  struct stat info;
  if (fstatat(target.folder.get(), target.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? absl::OkStatus() : CallFailed(target.path, "look at it", "fstatat");
  }
  if (S_ISREG(info.st_mode)) return absl::OkStatus();
  return Refused(target.path, "is no regular file any more, and stays as it is");
}

}  // namespace sluice
