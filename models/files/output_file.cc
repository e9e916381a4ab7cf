#include "models/files/output_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "graph/status_macros.h"
#include "models/files/partial_name.h"

namespace sluice {
namespace {

// While it lives, writes of this thread to a broken pipe or beyond a limit are errors, no signals.
class NoSignals {
 public:
  NoSignals() {
    sigset_t pending;
    sigpending(&pending);
    sigemptyset(&ours_);
    for (const int signal : {SIGPIPE, SIGXFSZ}) {
      if (sigismember(&pending, signal) == 0) sigaddset(&ours_, signal);
    }
    pthread_sigmask(SIG_BLOCK, &ours_, &before_);
  }
  ~NoSignals() {
    const int error = errno;
    const timespec now = {};
    while (sigtimedwait(&ours_, nullptr, &now) > 0) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = error;
  }
  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;

 private:
  sigset_t ours_, before_;
};

std::string Size(int64_t bytes) {
  if (bytes < 1 << 20) return absl::StrCat(bytes, " bytes");
  return absl::StrFormat("%d bytes (%.2f GiB)", bytes, static_cast<double>(bytes) / (1 << 30));
}

// nullopt: no limit.
std::optional<int64_t> FileSizeLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return static_cast<int64_t>(limit.rlim_cur);
}

// What the disk of an open file or folder has left for us.
std::optional<int64_t> AvailableAt(int fd) {
  struct statvfs space;
  if (fstatvfs(fd, &space) != 0) return std::nullopt;
  return static_cast<int64_t>(space.f_bavail * space.f_frsize);
}

}  // namespace

absl::StatusOr<std::unique_ptr<OutputFile>> OutputFile::Open(const std::string& path,
                                                             OutputOptions options) {
  SLUICE_ASSIGN_OR_RETURN(OutputTarget target, FindOutputTarget(path, options.inputs));
  const bool is_stream = target.is_stream();
  if (is_stream && !options.needs_file.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": is ", S_ISFIFO(target.old->st_mode) ? "a FIFO" : "a device",
                     ", expected the name of a regular file: ", options.needs_file));
  }
  auto file = absl::WrapUnique(new OutputFile(std::move(target), std::move(options)));
  SLUICE_RETURN_IF_ERROR(is_stream ? file->OpenStream() : file->Create());
  return file;
}

OutputFile::~OutputFile() {
  if (!partial_.empty()) unlinkat(target_.folder.get(), partial_.c_str(), 0);
}

absl::Status OutputFile::OpenStream() {
  file_ = FileDescriptor(open(target_.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (!file_.is_open()) return CallFailed(target_.path, "open", "open");
  struct stat info;
  if (fstat(file_.get(), &info) != 0) return CallFailed(target_.path, "look at it", "fstat");
  if (info.st_ino == target_.old->st_ino && info.st_dev == target_.old->st_dev) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat(target_.path, ": changes while it is looked at"));
}

absl::Status OutputFile::Create() {
  SLUICE_RETURN_IF_ERROR(CheckRoom());
  RemoveAbandoned(target_.folder.get(), target_.name);
  const mode_t mode = target_.old.has_value() ? 0600 : 0666;
  file_ = FileDescriptor(openat(target_.folder.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
  // A file without a name gets one by way of /proc.
  const bool can_be_named =
      file_.is_open() && access(absl::StrCat("/proc/self/fd/", file_.get()).c_str(), F_OK) == 0;
  if (!can_be_named) SLUICE_RETURN_IF_ERROR(CreateNamed(mode));
  SLUICE_RETURN_IF_ERROR(TakeOverOwner());
  if (!options_.bytes.has_value()) return absl::OkStatus();
  const NoSignals no_signals;
  if (ftruncate(file_.get(), *options_.bytes) == 0) return absl::OkStatus();
  return CannotWrite(static_cast<size_t>(*options_.bytes), "ftruncate");
}

absl::Status OutputFile::CreateNamed(mode_t mode) {
  absl::StatusOr<PartialFile> created = CreatePartial(target_.folder.get(), target_.name, mode);
  if (!created.ok()) {
    return absl::Status(created.status().code(),
                        absl::StrCat(target_.path, ": ", created.status().message()));
  }
  file_ = std::move(created->file);
  partial_ = std::move(created->name);
  return absl::OkStatus();
}

// The owner first: a change of it takes bits away from the mode.
absl::Status OutputFile::TakeOverOwner() {
  if (!target_.old.has_value()) return absl::OkStatus();
  struct stat info;
  if (fstat(file_.get(), &info) != 0) return CallFailed(target_.path, "look at it", "fstat");
  const uid_t user = target_.old->st_uid;
  const gid_t group = target_.old->st_gid;
  if ((info.st_uid != user || info.st_gid != group) && fchown(file_.get(), user, group) != 0) {
    return CallFailed(target_.path,
                      absl::StrCat("replace it by a file of the same owner, user ", user,
                                   " and group ", group, ": write under another name"),
                      "fchown");
  }
  if (fchmod(file_.get(), target_.old->st_mode & 07777) == 0) return absl::OkStatus();
  return CallFailed(target_.path, "keep its mode", "fchmod");
}

absl::Status OutputFile::CheckRoom() const {
  if (!options_.bytes.has_value()) return absl::OkStatus();
  const std::optional<int64_t> limit = FileSizeLimit();
  if (limit.has_value() && *limit < *options_.bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(target_.path, ": the file needs ", Size(*options_.bytes),
                     ", the limit on file sizes (ulimit -f) is ", Size(*limit)));
  }
  const std::optional<int64_t> left =
      options_.available.has_value() ? options_.available : AvailableAt(target_.folder.get());
  const int64_t needed = *options_.bytes - options_.holes;
  if (!left.has_value() || *left >= needed) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(target_.path, ": the file needs ", Size(needed),
                                                   ", the disk has ", Size(*left), " left"));
}

absl::Status OutputFile::CannotWrite(size_t bytes, absl::string_view call) const {
  const int error = errno;
  std::string what = absl::StrCat("write ", bytes, " bytes at ", position_);
  if (error == EINTR) return absl::CancelledError(absl::StrCat(target_.path, ": interrupted"));
  if (error == EFBIG) {
    const std::optional<int64_t> limit = FileSizeLimit();
    absl::StrAppend(&what, limit.has_value() ? absl::StrCat(", the limit on file sizes (ulimit -f) "
                                                            "is ",
                                                            Size(*limit))
                                             : ", the disk takes no file of that size");
  } else if (error == ENOSPC || error == EDQUOT) {
    const std::optional<int64_t> left = AvailableAt(file_.get());
    if (left.has_value()) absl::StrAppend(&what, ", the disk has ", Size(*left), " left");
  }
  errno = error;
  absl::Status status = CallFailed(target_.path, what, call);
  if (error != EFBIG) return status;
  return absl::ResourceExhaustedError(status.message());
}

absl::Status OutputFile::Write(const void* data, size_t bytes) {
  const NoSignals no_signals;
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = write(file_.get(), from, bytes);
    if (written < 0 && errno == EINTR && !target_.is_stream()) continue;
    if (written <= 0) return CannotWrite(bytes, "write");
    from += written;
    position_ += written;
    bytes -= static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

absl::Status OutputFile::Skip(int64_t bytes) {
  if (!target_.is_stream()) {
    position_ += bytes;
    if (lseek(file_.get(), position_, SEEK_SET) >= 0) return absl::OkStatus();
    return CallFailed(target_.path, "go on behind a hole", "lseek");
  }
  constexpr int64_t kPiece = 1 << 16;
  const std::string zeros(static_cast<size_t>(std::min(bytes, kPiece)), '\0');
  for (; bytes > 0; bytes -= kPiece) {
    SLUICE_RETURN_IF_ERROR(Write(zeros.data(), static_cast<size_t>(std::min(bytes, kPiece))));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<MappedFile>> OutputFile::Map() const {
  const int copy = fcntl(file_.get(), F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return CallFailed(target_.path, "read what was written", "fcntl");
  return MappedFile::FromDescriptor(target_.path, copy);
}

// A name of its own for the moment before it takes the place of an old file: a link replaces none.
absl::Status OutputFile::LinkUnderPartialName() {
  flock(file_.get(), LOCK_EX | LOCK_NB);  // before others can see it; nobody else has it
  const std::string self = absl::StrCat("/proc/self/fd/", file_.get());
  for (int attempt = 0; attempt < kPartialNameAttempts; ++attempt) {
    const std::string name = NewPartialName(target_.name);
    if (linkat(AT_FDCWD, self.c_str(), target_.folder.get(), name.c_str(), AT_SYMLINK_FOLLOW) ==
        0) {
      partial_ = name;
      return absl::OkStatus();
    }
    if (errno != EEXIST) break;
  }
  return CallFailed(target_.path, "give the new file a name", "linkat");
}

absl::Status OutputFile::SyncFolder() const {
  if (fsync(target_.folder.get()) == 0 || errno == EINVAL) return absl::OkStatus();
  // A folder that may not be read.
  if (errno == EBADF && syncfs(file_.get()) == 0) return absl::OkStatus();
  return CallFailed(target_.path,
                    "make sure that the name is on the disk (the file itself is whole)", "fsync");
}

absl::Status OutputFile::Commit() {
  if (target_.is_stream()) {
    if (file_.Close() == 0) return absl::OkStatus();
    return CallFailed(target_.path, "end the output", "close");
  }
  if (options_.bytes.value_or(position_) != position_) {
    return absl::InternalError(absl::StrCat(target_.path, ": ", position_,
                                            " bytes were written, expected ", *options_.bytes));
  }
  if (fsync(file_.get()) != 0 && errno != EINVAL) {
    return CallFailed(target_.path, "bring it to the disk", "fsync");
  }
  const int folder = target_.folder.get();
  if (partial_.empty() && !target_.old.has_value()) {
    const std::string self = absl::StrCat("/proc/self/fd/", file_.get());
    if (linkat(AT_FDCWD, self.c_str(), folder, target_.name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
      return SyncFolder();
    }
    if (errno != EEXIST) return CallFailed(target_.path, "give the new file its name", "linkat");
  }
  if (partial_.empty()) SLUICE_RETURN_IF_ERROR(LinkUnderPartialName());
  SLUICE_RETURN_IF_ERROR(CheckReplaceable(target_));
  if (renameat(folder, partial_.c_str(), folder, target_.name.c_str()) != 0) {
    return CallFailed(target_.path, "put the new file in its place", "renameat");
  }
  partial_.clear();
  return SyncFolder();
}

}  // namespace sluice
