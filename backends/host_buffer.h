// Host memory for states, arenas and scratch: zeroed, aligned to 64 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "absl/status/statusor.h"
#include "backends/backend.h"

namespace sluice {

class HostBuffer : public Buffer {
 public:
  // kLarge asks the system for large pages, which make long reads faster, where all of the memory
  // will be used.
  enum class Pages { kSmall, kLarge };

  // ResourceExhausted with the size if the memory cannot be had. Pages are committed when touched.
  static absl::StatusOr<std::unique_ptr<HostBuffer>> Create(int64_t bytes,
                                                            Pages pages = Pages::kSmall);

  int64_t bytes() const override { return bytes_; }
  std::byte* host() override { return aligned_; }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  HostBuffer() = default;

  int64_t bytes_ = 0;
  std::unique_ptr<void, Free> memory_;
  std::byte* aligned_ = nullptr;
};

}  // namespace sluice
