#include "backends/host_buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// Only a wish: whatever the system says, the memory works.
void AskForLargePages(std::byte* memory, int64_t bytes) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + page - 1) / page * page;
  const uintptr_t end =
      (reinterpret_cast<uintptr_t>(memory) + static_cast<size_t>(bytes)) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

}  // namespace

absl::StatusOr<std::unique_ptr<HostBuffer>> HostBuffer::Create(int64_t bytes, Pages pages) {
  constexpr size_t kAlignment = 64;
  auto buffer = std::unique_ptr<HostBuffer>(new HostBuffer());
  // calloc, because it leaves large blocks to the kernel's zero pages until they are touched.
  buffer->memory_.reset(bytes < 0 ? nullptr
                                  : std::calloc(static_cast<size_t>(bytes) + kAlignment, 1));
  if (buffer->memory_ == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot allocate ", bytes, " bytes"));
  }
  const auto address = reinterpret_cast<uintptr_t>(buffer->memory_.get());
  const uintptr_t aligned = (address + kAlignment - 1) / kAlignment * kAlignment;
  buffer->aligned_ = static_cast<std::byte*>(buffer->memory_.get()) + (aligned - address);
  buffer->bytes_ = bytes;
  if (pages == Pages::kLarge) AskForLargePages(buffer->aligned_, bytes);
  return buffer;
}

}  // namespace sluice
