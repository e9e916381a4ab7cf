#include "tools/machine/ceilings.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>

#include "backends/cpu/kernels/x16_product.h"
#include "backends/cpu/threads.h"
#include "backends/host_buffer.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRepetitions = 5;
constexpr double kShortest = 1e-3;  // seconds of a run: many times what it takes to start threads
constexpr int64_t kLeastBytes = int64_t{16} << 10, kMostBytes = int64_t{256} << 20;

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

// A third of the bytes each: c = a ^ b. The most that a core moves at a time is two loads and a
// store, as additions do.
template <int kBytes>
inline __attribute__((always_inline)) void Combine(std::byte* data, int64_t bytes) {
  using Word = typename Vectors<kBytes>::Word;
  constexpr int kUnroll = 4;
  const int64_t part = bytes / 3 / (kUnroll * kBytes) * (kUnroll * kBytes);
  for (int64_t at = 0; at < part; at += kUnroll * kBytes) {
#pragma GCC unroll 4
    for (int i = 0; i < kUnroll; ++i) {
      Word a, b;
      std::memcpy(&a, data + at + i * kBytes, kBytes);
      std::memcpy(&b, data + part + at + i * kBytes, kBytes);
      a ^= b;
      std::memcpy(data + 2 * part + at + i * kBytes, &a, kBytes);
    }
  }
}

template <int kBytes>
inline __attribute__((always_inline)) void Read(std::byte* data, int64_t bytes) {
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
  const Word all = sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
  std::memcpy(data, &all, kBytes);  // what is used cannot be left out
}

using MoveFn = void (*)(std::byte* data, int64_t bytes);
using SpinFn = float (*)(int64_t rounds);

// The same loops for each width of vectors; which one runs is decided on the machine.
struct Loops {
  int vector_bytes;
  SpinFn multiply_adds;
  MoveFn read, combine;
};

float MultiplyAdds16(int64_t rounds) { return MultiplyAdds<16>(rounds); }
void Read16(std::byte* data, int64_t bytes) { Read<16>(data, bytes); }
void Combine16(std::byte* data, int64_t bytes) { Combine<16>(data, bytes); }

#if defined(__x86_64__)
#define SLUICE_AVX2 __attribute__((target("avx2,fma")))
#define SLUICE_AVX512 __attribute__((target("avx512f")))
SLUICE_AVX2 float MultiplyAdds32(int64_t rounds) { return MultiplyAdds<32>(rounds); }
SLUICE_AVX2 void Read32(std::byte* data, int64_t bytes) { Read<32>(data, bytes); }
SLUICE_AVX2 void Combine32(std::byte* data, int64_t bytes) { Combine<32>(data, bytes); }
SLUICE_AVX512 float MultiplyAdds64(int64_t rounds) { return MultiplyAdds<64>(rounds); }
SLUICE_AVX512 void Read64(std::byte* data, int64_t bytes) { Read<64>(data, bytes); }
SLUICE_AVX512 void Combine64(std::byte* data, int64_t bytes) { Combine<64>(data, bytes); }

// Two products of bf16 numbers in each lane.
__attribute__((target("avx512f,avx512bf16"))) float Bf16Pairs(int64_t rounds) {
  const auto ones = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3f80));
  __m512 chains[kChains] = {};
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) chains[c] = _mm512_dpbf16_ps(chains[c], ones, ones);
  }
  float sum = 0;
  for (int c = 0; c < kChains; ++c) sum += chains[c][0];
  return sum;
}
#endif

Loops WidestLoops() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return {64, MultiplyAdds64, Read64, Combine64};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return {32, MultiplyAdds32, Read32, Combine32};
  }
#endif
  return {16, MultiplyAdds16, Read16, Combine16};
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

double SecondsOf(const std::function<void()>& body) {
  const Clock::time_point start = Clock::now();
  body();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The most that `work(times)` does in a second, if once is `amount`. The best of several runs, not
// the middle one: others on the machine only ever take away.
double BestRate(double amount, const std::function<void(int64_t times)>& work) {
  int64_t times = 1;
  double seconds = SecondsOf([&] { work(times); });
  while (seconds < kShortest) {
    const double wanted = 1.5 * kShortest / std::max(seconds, 1e-9);
    times = std::max<int64_t>(
        times + 1, static_cast<int64_t>(static_cast<double>(times) * std::min(wanted, 100.0)));
    seconds = SecondsOf([&] { work(times); });
  }
  for (int i = 1; i < kRepetitions; ++i) {
    seconds = std::min(seconds, SecondsOf([&] { work(times); }));
  }
  return amount * static_cast<double>(times) / seconds;
}

// Both loops on parts of one buffer, a part for each thread, and the better of the two.
double BestTransfer(const cpu::Threads& threads, const Loops& loops, absl::Span<std::byte> data) {
  const auto bytes = static_cast<int64_t>(data.size());
  double best = 0;
  for (const MoveFn move : {loops.read, loops.combine}) {
    const auto work = [&](int64_t times) {
      threads.For(bytes, bytes / threads.count(), [&](int64_t begin, int64_t end, int) {
        for (int64_t i = 0; i < times; ++i) move(data.data() + begin, end - begin);
      });
    };
    best = std::max(best, BestRate(static_cast<double>(bytes), work));
  }
  return best;
}

std::vector<TransferRate> MeasureTransfers(const cpu::Threads& threads, const Loops& loops,
                                           absl::Span<std::byte> buffer) {
  std::vector<TransferRate> rates;
  const auto most = static_cast<int64_t>(buffer.size());
  for (int64_t bytes = kLeastBytes; bytes <= most; bytes *= 2) {
    const auto part = buffer.first(static_cast<size_t>(bytes));
    rates.push_back({bytes, BestTransfer(threads, loops, part)});
  }
  // What does not fall as bytes get more is noise.
  for (size_t i = rates.size() - 1; i > 0; --i) {
    rates[i - 1].bytes_per_second =
        std::max(rates[i - 1].bytes_per_second, rates[i].bytes_per_second);
  }
  return rates;
}

double BestSpin(const cpu::Threads& threads, double operations_of_a_round, SpinFn spin) {
  std::atomic<float> sink = 0;  // what is used cannot be left out
  return BestRate(operations_of_a_round * threads.count(), [&](int64_t times) {
    threads.For(threads.count(), 1, [&](int64_t, int64_t, int) { sink = spin(times); });
  });
}

double MeasureF32(const cpu::Threads& threads, const Loops& loops) {
  const double lanes = loops.vector_bytes / static_cast<double>(sizeof(float));
  return BestSpin(threads, 2 * lanes * kChains, loops.multiply_adds);
}

// Where there are no instructions for it, bf16 is widened and multiplied as f32.
double MeasureBf16(const cpu::Threads& threads, double f32) {
#if defined(__x86_64__)
  constexpr double kLanes = 64 / sizeof(float);
  if (__builtin_cpu_supports("avx512bf16")) {
    return std::max(f32, BestSpin(threads, 2 * 2 * kLanes * kChains, Bf16Pairs));
  }
#endif
  return f32;
}

double MeasureInt8(const cpu::Threads& threads, const cpu::X16Isa& isa) {
  std::atomic<int32_t> sink = 0;
  int32_t first = 0;
  const auto operations = static_cast<double>(isa.spin(1, &first));
  return BestRate(operations * threads.count(), [&](int64_t times) {
    threads.For(threads.count(), 1, [&](int64_t, int64_t, int) {
      int32_t sum = first;
      isa.spin(times, &sum);
      sink += sum;
    });
  });
}

}  // namespace

absl::string_view Name(Arithmetic arithmetic) {
  constexpr std::array<absl::string_view, kArithmeticCount> kNames = {"f32", "bf16", "int8"};
  return kNames[static_cast<size_t>(arithmetic)];
}

double Ceiling::BytesPerSecond(double bytes) const {
  double rate = transfers.empty() ? 0 : transfers.front().bytes_per_second;
  for (const TransferRate& transfer : transfers) {
    if (static_cast<double>(transfer.bytes) <= bytes) rate = transfer.bytes_per_second;
  }
  return rate;
}

double Ceiling::MemoryBytesPerSecond() const {
  return transfers.empty() ? 0 : transfers.back().bytes_per_second;
}

double TransferSeconds(const Ceiling& ceiling, const OpCost& cost) {
  const double bytes = cost.bytes_read + cost.bytes_written, rate = ceiling.BytesPerSecond(bytes);
  return rate > 0 ? bytes / rate : 0;
}

double ComputeSeconds(const Ceiling& ceiling, const OpCost& cost, Arithmetic arithmetic) {
  const double rate = ceiling.operations_per_second[static_cast<size_t>(arithmetic)];
  return rate > 0 ? cost.flops / rate : 0;
}

std::vector<Ceiling> MeasureCeilings(const proto::DeviceCaps& caps,
                                     absl::Span<const int> thread_counts) {
  const Loops loops = WidestLoops();
  const int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  const int64_t bytes = std::max(kLeastBytes, std::min(kMostBytes, memory / 8));
  const absl::StatusOr<std::unique_ptr<HostBuffer>> buffer = HostBuffer::Create(bytes);
  if (!buffer.ok() || thread_counts.empty()) return {};
  const auto data = absl::MakeSpan((*buffer)->host(), static_cast<size_t>(bytes));
  TouchPages(thread_counts.back(), data);
  std::vector<Ceiling> ceilings;
  for (const int count : thread_counts) {
    const cpu::Threads threads(count);
    const cpu::Threads::Region region(threads);
    const double f32 = MeasureF32(threads, loops);
    ceilings.push_back({.threads = count,
                        .transfers = MeasureTransfers(threads, loops, data),
                        .operations_per_second = {f32, MeasureBf16(threads, f32),
                                                  MeasureInt8(threads, cpu::X16IsaFor(caps))}});
  }
  return ceilings;
}

}  // namespace sluice
