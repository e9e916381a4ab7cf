#include "models/files/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<MappedFile>> MappedFile::Open(const std::string& path) {
  // O_NONBLOCK: opening a FIFO would wait for a writer, and it means nothing for regular files.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot open (open)"));
  return FromDescriptor(path, fd);
}

absl::StatusOr<std::unique_ptr<MappedFile>> MappedFile::FromDescriptor(const std::string& path,
                                                                       int fd) {
  auto file = absl::WrapUnique(new MappedFile(path, fd));
  SLUICE_RETURN_IF_ERROR(file->Map());
  return file;
}

absl::Status MappedFile::Map() {
  struct stat info;
  if (fstat(fd_, &info) != 0) return absl::ErrnoToStatus(errno, absl::StrCat(path_, ": fstat"));
  if (S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": is a directory, expected a regular file"));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": is not a regular file"));
  }
  if (info.st_size == 0) return absl::OkStatus();  // mmap() refuses empty mappings
  const size_t size = static_cast<size_t>(info.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd_, 0);
  if (data == MAP_FAILED)
    return absl::ErrnoToStatus(errno, absl::StrCat(path_, ": cannot map (mmap)"));
  bytes_ = {static_cast<const std::byte*>(data), size};
  return absl::OkStatus();
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  close(fd_);
}

void MappedFile::Release(absl::Span<const std::byte> part) const {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

absl::Status MappedFile::CheckNotShrunk() const {
  struct stat info;
  if (fstat(fd_, &info) != 0) return absl::ErrnoToStatus(errno, absl::StrCat(path_, ": fstat"));
  if (static_cast<size_t>(info.st_size) >= bytes_.size()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(path_, ": the file shrank from ", bytes_.size(), " to ",
                                          info.st_size, " bytes while it was in use"));
}

}  // namespace sluice
