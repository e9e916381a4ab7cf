// A file mapped read-only into memory, for model files that are used in place.
//
// What a mapping cannot promise: the file may change underneath. Rewriting it in place changes
// the bytes that are seen here; replacing it by rename, as OutputFile and downloaders do, does
// not. Shrinking it makes every touch of a lost page a SIGBUS, which no check of ours can
// exclude, only CheckNotShrunk() make unlikely: call it before long work on the bytes, so that
// the usual case, a copy that was started again, ends in a message. A program that wants a
// message in the remaining case too installs a SIGBUS handler in main().
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace sluice {

class MappedFile {
 public:
  // Maps a regular file; an empty one gives no bytes. Never blocks on a pipe or a device. Errors
  // name the path: NotFound, PermissionDenied and other codes of errno, InvalidArgument for a
  // directory or any other file that is not regular.
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(const std::string& path);
  // The same of an open file, which is closed at the end; `path` is for messages.
  static absl::StatusOr<std::unique_ptr<MappedFile>> FromDescriptor(const std::string& path,
                                                                    int fd);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  absl::Span<const std::byte> bytes() const { return bytes_; }

  // Lets go of the memory of whole pages in `part`, a part of bytes(): they are read again when
  // they are needed again.
  void Release(absl::Span<const std::byte> part) const;

  // DataLoss if the file has become shorter than the mapping. One fstat().
  absl::Status CheckNotShrunk() const;

 private:
  MappedFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  absl::Status Map();

  std::string path_;
  int fd_;  // kept open for CheckNotShrunk: the path may name another file by then
  absl::Span<const std::byte> bytes_;
};

}  // namespace sluice
