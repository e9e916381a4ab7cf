// Op top_k on a backend against the reference, bit by bit, on rows with what rows may have.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/substitute.h"
#include "backends/ref/ref_backend.h"
#include "graph/text.h"
#include "tests/support/op_cases.h"

namespace sluice {

// The op on rows of `n` elements, compiled for up to `rows` of them.
class TopKOf {
 public:
  TopKOf(Backend& backend, int64_t rows, int64_t n, int64_t k) : n_(n) {
    const std::string text = absl::Substitute(
        "graph g\nsymbol rows <= $0\ninput %x : f32[rows,$1]\n"
        "%v, %id = top_k(%x) {k=$2} : f32[rows,$2], i32[rows,$2]\noutput %v\noutput %id\n",
        rows, n, k);
    absl::StatusOr<Graph> graph = Parse(text, "top_k");
    EXPECT_TRUE(graph.ok()) << graph.status();
    const absl::Status status =
        backend.kernels() != nullptr ? CompileFor(backend, &*graph) : absl::OkStatus();
    EXPECT_TRUE(status.ok()) << status;
    auto executable = backend.Compile(*std::move(graph), {});
    EXPECT_TRUE(executable.ok()) << executable.status();
    executable_ = *std::move(executable);
  }

  // The bits of the values, then the ids.
  std::vector<uint32_t> Run(std::vector<float> x) {
    const auto rows = static_cast<int64_t>(x.size()) / n_;
    TensorView input{.dtype = DType::kF32, .dims = {rows, n_}};
    input.data = reinterpret_cast<std::byte*>(x.data());
    RunArgs args{.inputs = {&input, 1}};
    args.symbols.Set("rows", rows);
    const absl::Status status = executable_->Run(args);
    EXPECT_TRUE(status.ok()) << status;
    std::vector<uint32_t> words;
    for (const size_t i : {0, 1}) {
      const TensorView view = *executable_->output(i);
      const auto* begin = reinterpret_cast<const uint32_t*>(view.data);
      words.insert(words.end(), begin, begin + view.elements());
    }
    return words;
  }

 private:
  int64_t n_;
  std::unique_ptr<Executable> executable_;
};

// Numbers of all magnitudes, denormal ones among them; zeros of both signs; few different numbers;
// nearly all -inf; rising; NaNs and infs among few numbers.
inline std::vector<float> RowOfKind(int kind, int64_t n, std::mt19937& random) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  std::vector<float> row(static_cast<size_t>(n));
  for (size_t i = 0; i < row.size(); ++i) {
    const auto bits = static_cast<uint32_t>(random());
    const uint32_t dice = static_cast<uint32_t>(random()) % 100;
    const float any = std::bit_cast<float>(bits & 0xff7fffffU);
    const float nan = std::bit_cast<float>(bits | 0x7fc00000U);
    const float small = static_cast<float>(bits % 5) - 2;
    const float kinds[] = {any,
                           small * 0.0F,
                           small,
                           dice < 99 ? -kInf : any,
                           static_cast<float>(i),
                           dice < 98   ? small
                           : dice < 99 ? kInf
                                       : nan};
    row[i] = kinds[kind];
  }
  return row;
}
constexpr int kRowKinds = 6;

inline void ExpectTopKOfTheReference(Backend& backend) {
  const auto ref = MakeRefBackend();
  std::mt19937 random(1);
  const struct {
    int64_t n, k;
  } kSizes[] = {{1, 1}, {7, 7}, {100, 1}, {100, 64}, {2048, 5}, {5000, 64}, {40000, 256}};
  for (const auto& [n, k] : kSizes) {
    TopKOf expected(*ref, kRowKinds, n, k), got(backend, kRowKinds, n, k);
    // Fewer rows than there may be, and the same again: nothing is left of other steps.
    for (const int rows : {kRowKinds, 1, 4, kRowKinds}) {
      std::vector<float> x;
      for (int row = 0; row < rows; ++row) {
        const std::vector<float> next = RowOfKind((row + rows) % kRowKinds, n, random);
        x.insert(x.end(), next.begin(), next.end());
      }
      EXPECT_EQ(expected.Run(x), got.Run(x)) << rows << " rows, top_k " << k << " of " << n;
    }
  }
}

}  // namespace sluice
