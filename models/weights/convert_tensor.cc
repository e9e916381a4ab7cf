#include "models/weights/convert_tensor.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "graph/formats/dequantize.h"
#include "graph/formats/quantize.h"

namespace sluice {
namespace {

// A multiple of every block size; its float32 values fit a core's cache.
constexpr int64_t kChunk = 32768;

constexpr float kLargestHalf = 65504;

// Runs `work` on so many threads, of which the caller's is one: it gets true. Where the system
// gives fewer threads, these do the work.
void RunOnThreads(int threads, absl::FunctionRef<void(bool is_caller)> work) {
  std::vector<std::thread> others;
  try {
    while (static_cast<int>(others.size()) + 1 < threads) {
      others.emplace_back([work] { work(false); });
    }
  } catch (const std::system_error&) {
  }
  work(true);
  for (std::thread& thread : others) thread.join();
}

bool IsWithin(float value, float limit) { return std::fabs(value) <= limit; }  // false for NaN

// Without an early end, so that it vectorises.
bool AllWithin(absl::Span<const float> values, float limit) {
  bool result = true;
  for (const float value : values) result &= IsWithin(value, limit);
  return result;
}

class Conversion {
 public:
  Conversion(DType from, absl::Span<const std::byte> in, DType to, absl::Span<std::byte> out,
             const ConvertOptions& options)
      : from_(Info(from)),
        to_(Info(to)),
        in_(in),
        out_(out),
        options_(options),
        limit_(to == DType::kF32 || to == DType::kBF16 ? std::numeric_limits<float>::max()
                                                       : kLargestHalf),
        elements_(static_cast<int64_t>(in.size()) / from_.bytes_per_block *
                  from_.elements_per_block) {}

  absl::Status Run() {
    const int64_t chunks = (elements_ + kChunk - 1) / kChunk;
    const auto threads = static_cast<int>(std::min<int64_t>(options_.threads, chunks));
    RunOnThreads(threads, [this](bool is_caller) { Work(is_caller); });
    if (cancelled_) return absl::CancelledError("interrupted");
    return first_wrong_ < elements_ ? WrongValue(first_wrong_) : absl::OkStatus();
  }

 private:
  void Work(bool is_caller) {
    std::vector<float> values(static_cast<size_t>(kChunk));
    int64_t reported = 0;
    for (int64_t begin; !cancelled_ && (begin = next_.fetch_add(kChunk)) < elements_;) {
      ConvertChunk(begin, absl::MakeSpan(values).first(
                              static_cast<size_t>(std::min(kChunk, elements_ - begin))));
      if (is_caller) reported = Report(reported);
    }
    if (is_caller) Report(reported);
  }

  void ConvertChunk(int64_t begin, absl::Span<float> values) {
    const auto count = static_cast<int64_t>(values.size());
    Decode(begin, values);
    if (!AllWithin(values, limit_)) return NoteFirstWrong(begin, values);
    QuantizerFor(to_.dtype)(values.data(), count, out_.data() + BytesBefore(to_, begin));
    written_ += BytesBefore(to_, count);
  }

  void NoteFirstWrong(int64_t begin, absl::Span<const float> values) {
    const auto wrong = std::find_if_not(values.begin(), values.end(),
                                        [this](float value) { return IsWithin(value, limit_); });
    const int64_t at = begin + (wrong - values.begin());
    int64_t first = first_wrong_;
    while (at < first && !first_wrong_.compare_exchange_weak(first, at)) {
    }
  }

  void Decode(int64_t begin, absl::Span<float> values) const {
    DequantizerFor(from_.dtype)(in_.data() + BytesBefore(from_, begin),
                                static_cast<int64_t>(values.size()), values.data());
  }

  static int64_t BytesBefore(const DTypeInfo& info, int64_t element) {
    return element / info.elements_per_block * info.bytes_per_block;
  }

  // What all threads have written since the last report. Returns the new sum.
  int64_t Report(int64_t reported) {
    const int64_t written = written_;
    if (options_.on_written && !options_.on_written(written - reported)) cancelled_ = true;
    return written;
  }

  absl::Status WrongValue(int64_t element) const {
    const int64_t begin = element / kChunk * kChunk;
    std::vector<float> values(static_cast<size_t>(std::min(kChunk, elements_ - begin)));
    Decode(begin, absl::MakeSpan(values));
    return absl::InvalidArgumentError(
        absl::StrCat("element ", element, " is ", values[static_cast<size_t>(element - begin)],
                     ", which ", to_.name, " cannot hold: expected a number of at most ", limit_));
  }

  const DTypeInfo& from_;
  const DTypeInfo& to_;
  absl::Span<const std::byte> in_;
  absl::Span<std::byte> out_;
  const ConvertOptions& options_;
  float limit_;
  int64_t elements_;
  std::atomic<int64_t> next_ = 0, written_ = 0, first_wrong_ = INT64_MAX;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace

absl::Status ConvertTensor(DType from, absl::Span<const std::byte> in, DType to,
                           absl::Span<std::byte> out, const ConvertOptions& options) {
  if (from != to) return Conversion(from, in, to, out, options).Run();
  std::copy(in.begin(), in.end(), out.begin());
  const bool goes_on = !options.on_written || options.on_written(static_cast<int64_t>(out.size()));
  return goes_on ? absl::OkStatus() : absl::CancelledError("interrupted");
}

}  // namespace sluice
