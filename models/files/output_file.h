// The one way in which a file that the user named is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/files/mapped_file.h"
#include "models/files/output_target.h"

namespace sluice {

struct OutputOptions {
  std::vector<std::string> inputs = {};  // files that the output may not be, under any name
  std::optional<int64_t> bytes = {};     // how many will be written and skipped, where known
  int64_t holes = 0;                     // of them skipped, which takes no room on the disk
  // Why a FIFO or a device will not do, as an end of a sentence; "": they do.
  absl::string_view needs_file = "";
  std::optional<int64_t> available = {};  // stands in for what the disk has left
};

// A file that comes to stand under its name when it is complete, or not at all: until then, and
// after any error, an old file of that name is as it was. Its mode and owner pass on to the new
// one; its other hard links keep the old contents. A symlink stays, and what it leads to is
// replaced. FIFOs and character devices get the bytes as they come, and keep what they got.
//
// Meanwhile the file has no name where the file system has such files. Elsewhere, and for the
// moment of replacing an old file, it is `.NAME.sluice-0123456789abcdef.partial`, locked with
// flock(). One that a killed process left, which nobody locks, goes when NAME is written the next
// time.
//
// Errors name the path and the system call. No signal of a broken pipe or of a limit on file sizes
// gets out.
class OutputFile {
 public:
  // Checks everything that can be known beforehand, so call it before long work: what
  // FindOutputTarget() checks, that folder and owner permit it, and that disk and limits have room
  // (ResourceExhausted with both sizes). Waits for the reader of a FIFO.
  static absl::StatusOr<std::unique_ptr<OutputFile>> Open(const std::string& path,
                                                          OutputOptions options = {});
  ~OutputFile();  // discards what is not committed
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Appends. Cancelled if a signal interrupts a wait for the reader of a FIFO.
  absl::Status Write(const void* data, size_t bytes);
  absl::Status Write(absl::string_view text) { return Write(text.data(), text.size()); }
  // Appends zeros, as a hole in a sparse file where it is one.
  absl::Status Skip(int64_t bytes);

  // What was written until now, of a file (`needs_file`), under the path that it will have.
  absl::StatusOr<std::unique_ptr<MappedFile>> Map() const;

  // Returns when the file is whole on the disk and under its name.
  absl::Status Commit();

 private:
  OutputFile(OutputTarget target, OutputOptions options)
      : target_(std::move(target)), options_(std::move(options)) {}
  absl::Status OpenStream();
  absl::Status Create();
  absl::Status CreateNamed(mode_t mode);
  absl::Status TakeOverOwner();
  absl::Status CheckRoom() const;
  absl::Status CannotWrite(size_t bytes, absl::string_view call) const;
  absl::Status LinkUnderPartialName();
  absl::Status SyncFolder() const;

  OutputTarget target_;
  OutputOptions options_;
  FileDescriptor file_;
  std::string partial_;  // the name that it has for now; "": none
  int64_t position_ = 0;
};

}  // namespace sluice
