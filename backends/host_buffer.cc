#include "backends/host_buffer.h"

#include "absl/strings/str_cat.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<HostBuffer>> HostBuffer::Create(int64_t bytes) {
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
  return buffer;
}

}  // namespace sluice
