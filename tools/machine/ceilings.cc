#include "tools/machine/ceilings.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>

#include "backends/cpu/threads.h"
#include "backends/host_buffer.h"

namespace sluice {
namespace {

constexpr int kRepetitions = 3;

template <int kBytes>
struct Vectors {
  using Float __attribute__((vector_size(kBytes))) = float;
  using Word __attribute__((vector_size(kBytes))) = uint64_t;
};

// Twelve independent chains hide the latency of a multiply-add on any current core, and leave
// registers for the factors even where there are only sixteen.
constexpr int kChains = 12;

template <int kBytes>
inline __attribute__((always_inline)) float MultiplyAdds(int64_t rounds) {
  using Float = typename Vectors<kBytes>::Float;
  const Float factor = Float{} + 0.5F;
  const Float term = Float{} + 1.0F;
  std::array<Float, kChains> chains;
  for (int c = 0; c < kChains; ++c) chains[c] = Float{} + static_cast<float>(c);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) chains[c] = chains[c] * factor + term;
  }
  float sum = 0;
  for (const Float& chain : chains) sum += chain[0];
  return sum;
}

template <int kBytes>
inline __attribute__((always_inline)) uint64_t ReadAll(const std::byte* data, int64_t bytes) {
  using Word = typename Vectors<kBytes>::Word;
  constexpr int kLoads = 4;
  std::array<Word, kLoads> sums = {};
  for (int64_t at = 0; at + kLoads * kBytes <= bytes; at += kLoads * kBytes) {
#pragma GCC unroll 4
    for (int i = 0; i < kLoads; ++i) {
      Word word;
      std::memcpy(&word, data + at + i * kBytes, kBytes);
      sums[i] ^= word;
    }
  }
  return (sums[0] ^ sums[1] ^ sums[2] ^ sums[3])[0];
}

// The same loops for each width of vectors; which one runs is decided on the machine.
struct Loops {
  int vector_bytes;
  float (*multiply_adds)(int64_t rounds);
  uint64_t (*read_all)(const std::byte* data, int64_t bytes);
};

float MultiplyAdds16(int64_t rounds) { return MultiplyAdds<16>(rounds); }
uint64_t ReadAll16(const std::byte* data, int64_t bytes) { return ReadAll<16>(data, bytes); }

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) float MultiplyAdds32(int64_t rounds) {
  return MultiplyAdds<32>(rounds);
}
__attribute__((target("avx2"))) uint64_t ReadAll32(const std::byte* data, int64_t bytes) {
  return ReadAll<32>(data, bytes);
}
__attribute__((target("avx512f"))) float MultiplyAdds64(int64_t rounds) {
  return MultiplyAdds<64>(rounds);
}
__attribute__((target("avx512f"))) uint64_t ReadAll64(const std::byte* data, int64_t bytes) {
  return ReadAll<64>(data, bytes);
}
#endif

Loops WidestLoops() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return {64, MultiplyAdds64, ReadAll64};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return {32, MultiplyAdds32, ReadAll32};
  }
#endif
  return {16, MultiplyAdds16, ReadAll16};
}

// Twice the last-level cache where that is known and sensible: virtual machines report the cache of
// the whole host, of which they have a part.
int64_t BufferBytes() {
  const int64_t cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  const int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  constexpr int64_t kLeast = int64_t{64} << 20, kMost = int64_t{256} << 20;
  return std::min(std::clamp(2 * cache, kLeast, kMost), memory / 8);
}

// Gives the buffer pages of its own: what was never written is one page of zeros.
void TouchPages(int threads, absl::Span<std::byte> buffer) {
  constexpr int64_t kPage = 4096;
  const auto pages = static_cast<int64_t>(buffer.size()) / kPage;
  cpu::Threads(threads).For(pages, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t page = begin; page < end; ++page) {
      buffer[static_cast<size_t>(page * kPage)] = std::byte{1};
    }
  });
}

// Seconds of the middle run.
template <typename Body>
double MedianSeconds(const Body& body) {
  using Clock = std::chrono::steady_clock;
  std::array<double, kRepetitions> seconds;
  for (double& s : seconds) {
    const Clock::time_point start = Clock::now();
    body();
    s = std::chrono::duration<double>(Clock::now() - start).count();
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[kRepetitions / 2];
}

}  // namespace

std::vector<Ceiling> MeasureCeilings(absl::Span<const int> thread_counts) {
  constexpr int64_t kRounds = 4'000'000;
  const Loops loops = WidestLoops();
  const int64_t bytes = BufferBytes();
  const absl::StatusOr<std::unique_ptr<HostBuffer>> buffer = HostBuffer::Create(bytes);
  if (!buffer.ok() || thread_counts.empty()) return {};
  const std::byte* data = (*buffer)->host();
  TouchPages(thread_counts.back(), absl::MakeSpan((*buffer)->host(), static_cast<size_t>(bytes)));
  std::atomic<uint64_t> sink = 0;  // keeps the loops from being optimised away
  std::vector<Ceiling> ceilings;
  for (const int count : thread_counts) {
    const cpu::Threads threads(count);
    const double read = MedianSeconds([&] {
      threads.For(bytes, 1, [&](int64_t begin, int64_t end, int) {
        sink += loops.read_all(data + begin, end - begin);
      });
    });
    const double compute = MedianSeconds([&] {
      threads.For(count, 1, [&](int64_t, int64_t, int) {
        sink += static_cast<uint64_t>(loops.multiply_adds(kRounds));
      });
    });
    const double lanes = loops.vector_bytes / static_cast<double>(sizeof(float));
    ceilings.push_back({.threads = count,
                        .read_bytes_per_second = static_cast<double>(bytes) / read,
                        .flops_per_second = 2 * lanes * kChains * kRounds * count / compute});
  }
  return ceilings;
}

}  // namespace sluice
