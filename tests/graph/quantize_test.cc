#include "graph/formats/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "graph/formats/blocks.h"
#include "graph/formats/dequantize.h"
#include "graph/formats/quantize_families.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

std::vector<float> Decode(DType dtype, const std::vector<std::byte>& blocks, int64_t elements) {
  std::vector<float> values(static_cast<size_t>(elements));
  DequantizerFor(dtype)(blocks.data(), elements, values.data());
  return values;
}

std::vector<std::byte> Encode(DType dtype, const std::vector<float>& values) {
  const auto elements = static_cast<int64_t>(values.size());
  std::vector<std::byte> blocks(static_cast<size_t>(ByteSize(dtype, elements).value()));
  QuantizerFor(dtype)(values.data(), elements, blocks.data());
  return blocks;
}

std::vector<float> RoundTrip(DType dtype, const std::vector<float>& values) {
  return Decode(dtype, Encode(dtype, values), static_cast<int64_t>(values.size()));
}

// 256 blocks of 32 bell-shaped values, each block with its own magnitude (2^-6 .. 2^9) and offset.
std::vector<float> TestValues() {
  constexpr int64_t kBlocks = 256;
  std::vector<float> values =
      Decode(DType::kF32, RandomBlocks(DType::kF32, 32 * kBlocks, 1, 1.0f).value(), 32 * kBlocks);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto block = static_cast<int>(i / 32);
    const float offset = static_cast<float>(block % 5 - 2);
    values[i] = std::ldexp(values[i] + offset, block % 16 - 6);
  }
  return values;
}

// Calls check(values, decoded) for each block of 32.
template <typename Check>
void ForEachBlock(DType dtype, Check check) {
  const std::vector<float> values = TestValues();
  const std::vector<float> decoded = RoundTrip(dtype, values);
  for (size_t at = 0; at < values.size(); at += 32) {
    check(absl::MakeConstSpan(values).subspan(at, 32),
          absl::MakeConstSpan(decoded).subspan(at, 32));
  }
}

// Bounds in the next tests: half a step for the nearest quant; 2^-11 of what the stored scale (and
// min) contributes, because f16 has 11 significant bits; and 2^-20 of the range for the float32
// arithmetic of the encoder, some roundings of 2^-24 each.
constexpr float kF16Rounding = 0x1p-11f;
constexpr float kF32Rounding = 0x1p-20f;

TEST(QuantizeTest, Q8_0ErrorIsHalfAStep) {
  ForEachBlock(DType::kQ8_0, [](absl::Span<const float> values, absl::Span<const float> decoded) {
    float largest = 0;
    for (const float value : values) largest = std::max(largest, std::fabs(value));
    const float bound = largest / 127 / 2 + largest * (kF16Rounding + kF32Rounding);
    for (size_t i = 0; i < 32; ++i) ASSERT_NEAR(decoded[i], values[i], bound);
  });
}

// The quants reach one step further on the side of the largest magnitude: a value of the other
// sign within half a step of that magnitude is clamped, and is off by up to a step.
void CheckSymmetric(DType dtype, float steps) {
  ForEachBlock(dtype, [steps](absl::Span<const float> values, absl::Span<const float> decoded) {
    float extreme = 0;
    for (const float value : values) {
      if (std::fabs(value) > std::fabs(extreme)) extreme = value;
    }
    const float largest = std::fabs(extreme);
    const float step = largest / steps;
    const float rounding = largest * (kF16Rounding + kF32Rounding);
    for (size_t i = 0; i < 32; ++i) {
      const bool clamped = values[i] * extreme < 0 && std::fabs(values[i]) > largest - step / 2;
      ASSERT_NEAR(decoded[i], values[i], (clamped ? step : step / 2) + rounding);
    }
  });
}

TEST(QuantizeTest, Q4_0ErrorIsHalfAStep) { CheckSymmetric(DType::kQ4_0, 8); }
TEST(QuantizeTest, Q5_0ErrorIsHalfAStep) { CheckSymmetric(DType::kQ5_0, 16); }

void CheckAffine(DType dtype, float steps) {
  ForEachBlock(dtype, [steps](absl::Span<const float> values, absl::Span<const float> decoded) {
    const auto [min, max] = std::minmax_element(values.begin(), values.end());
    const float range = *max - *min;
    const float bound =
        range / steps / 2 + (range + std::fabs(*min)) * (kF16Rounding + kF32Rounding);
    for (size_t i = 0; i < 32; ++i) ASSERT_NEAR(decoded[i], values[i], bound);
  });
}

TEST(QuantizeTest, Q4_1ErrorIsHalfAStep) { CheckAffine(DType::kQ4_1, 15); }
TEST(QuantizeTest, Q5_1ErrorIsHalfAStep) { CheckAffine(DType::kQ5_1, 31); }

TEST(QuantizeTest, PlainFloatsRoundToTheirPrecision) {
  const std::vector<float> values = TestValues();
  EXPECT_EQ(RoundTrip(DType::kF32, values), values);
  const std::vector<float> f16 = RoundTrip(DType::kF16, values);
  const std::vector<float> bf16 = RoundTrip(DType::kBF16, values);
  for (size_t i = 0; i < values.size(); ++i) {
    // Half a unit in the last of 11 or 8 bits; for a subnormal f16, half of 2^-24.
    ASSERT_NEAR(f16[i], values[i], std::max(std::fabs(values[i]) * 0x1p-11f, 0x1p-25f));
    ASSERT_NEAR(bf16[i], values[i], std::fabs(values[i]) * 0x1p-8f);
  }
}

std::string Hex(const std::vector<std::byte>& bytes) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

// Blocks by hand, so that encoder and decoder cannot be wrong together.
TEST(QuantizeTest, Q4_0BytesByHand) {
  std::vector<float> values;
  for (int i = 0; i < 32; ++i) values.push_back(static_cast<float>(i - 16));
  // d = -16 / -8 = 2, in f16 0x4000; quants floor((i - 16) / 2 + 8.5), at most 15: 0 1 1 2 2 ...
  // Elements i and i + 16 share a byte.
  EXPECT_EQ(Hex(Encode(DType::kQ4_0, values)),
            "0040"
            "809191a2a2b3b3c4c4d5d5e6e6f7f7f8");
}

TEST(QuantizeTest, Q5_1BytesByHand) {
  std::vector<float> values;
  for (int i = 0; i < 32; ++i) values.push_back(static_cast<float>(i));
  // d = 1, in f16 0x3c00; m = 0; quant i is i: its fifth bit is set from 16 on.
  EXPECT_EQ(Hex(Encode(DType::kQ5_1, values)),
            "003c"
            "0000"
            "0000ffff"
            "00112233445566778899aabbccddeeff");
}

TEST(QuantizeTest, Q8_0TiesGoAwayFromZero) {
  std::vector<float> values(32, 0.0f);
  values[0] = 127.0f;  // d = 1
  values[1] = 0.5f;
  values[2] = -0.5f;
  values[3] = -126.5f;
  const std::vector<float> decoded = RoundTrip(DType::kQ8_0, values);
  EXPECT_THAT(std::vector<float>(decoded.begin(), decoded.begin() + 5),
              testing::ElementsAre(127, 1, -1, -127, 0));
}

TEST(QuantizeTest, ZerosAndTinyValuesDecodeToZero) {
  for (const DTypeInfo& info : AllDTypes()) {
    if (QuantizerFor(info.dtype) == nullptr || !IsBlockFormat(info.dtype)) continue;
    // The inverse of the step would overflow for the second and third.
    for (const float value : {0.0f, 1e-38f, -1e-42f}) {
      EXPECT_THAT(RoundTrip(info.dtype, std::vector<float>(256, value)), testing::Each(0.0f))
          << info.name << " " << value;
    }
  }
}

TEST(QuantizeTest, OnlyDecodableFormatsHaveEncoders) {
  for (const DTypeInfo& info : AllDTypes()) {
    if (QuantizerFor(info.dtype) != nullptr) {
      EXPECT_TRUE(CanDequantize(info.dtype)) << info.name;
    }
  }
  EXPECT_EQ(QuantizerFor(DType::kIQ4_XS), nullptr);
}

uint64_t Fnv1a(const std::vector<std::byte>& bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  return hash;
}

double NmseOf(const std::vector<float>& values, const std::vector<float>& decoded) {
  double errors = 0, squares = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    errors += std::pow(double{decoded[i]} - values[i], 2);
    squares += std::pow(double{values[i]}, 2);
  }
  return errors / squares;
}

// Groups of all sizes, some of equal values, some of zeros, some too small for a scale of theirs.
std::vector<float> HardValues() {
  std::vector<float> values = TestValues();
  for (size_t i = 0; i < values.size(); ++i) {
    if (i / 16 % 7 == 0) values[i] = 0;
    if (i / 32 % 5 == 0) values[i] = 0.5f;
    if (i / 32 % 11 == 0) values[i] = std::ldexp(values[i], -80);
  }
  return values;
}

// Hashes of what ggml_quantize_chunk of llama.cpp v0.5.0 makes of the same values, and the errors
// of that, rounded up; of the hard values, where quants may differ that mean nothing, the errors.
TEST(QuantizeTest, BytesAreThoseOfTheReferenceQuantisers) {
  constexpr int64_t kElements = 64 * 256;
  const std::vector<float> values =
      Decode(DType::kF32, RandomBlocks(DType::kF32, kElements, 1, 1.0f).value(), kElements);
  struct Case {
    DType dtype;
    uint64_t hash;
    double nmse, hard_nmse;
  };
  for (const Case& expected : {
           Case{DType::kQ4_0, 0x6842b6b100addc1c, 6.73e-3, 4.89e-3},
           Case{DType::kQ4_1, 0x44af81370aa3bc87, 5.76e-3, 2.61e-3},
           Case{DType::kQ5_0, 0xfdb799c1efdb56cd, 1.68e-3, 1.14e-3},
           Case{DType::kQ5_1, 0x4a817c58959c9c45, 1.34e-3, 5.00e-4},
           Case{DType::kQ8_0, 0xf502bf28c32ad8cc, 2.61e-5, 1.84e-5},
           Case{DType::kQ2_K, 0xb9534ecbd62de6cd, 8.40e-2, 3.47e-2},
           Case{DType::kQ3_K, 0x7d80bcea85402ac2, 2.17e-2, 1.30e-2},
           Case{DType::kQ4_K, 0x69023b416fc17135, 4.81e-3, 2.10e-3},
           Case{DType::kQ5_K, 0x787daa1ba148b299, 1.22e-3, 5.15e-4},
           Case{DType::kQ6_K, 0x7e7bed567ef8cefb, 2.89e-4, 2.22e-4},
       }) {
    EXPECT_EQ(Fnv1a(Encode(expected.dtype, values)), expected.hash) << Name(expected.dtype);
    EXPECT_LT(NmseOf(values, RoundTrip(expected.dtype, values)), expected.nmse)
        << Name(expected.dtype);
    EXPECT_LT(NmseOf(HardValues(), RoundTrip(expected.dtype, HardValues())), expected.hard_nmse)
        << Name(expected.dtype);
  }
}

TEST(QuantizeTest, InstructionSetsGiveTheSameBytes) {
  if (Avx2KQuantizers().empty()) GTEST_SKIP() << "the machine has no AVX2";
  ASSERT_EQ(Avx2KQuantizers().size(), PortableKQuantizers().size());
  for (const std::vector<float>& values : {TestValues(), HardValues()}) {
    for (size_t i = 0; i < Avx2KQuantizers().size(); ++i) {
      const Quantizer &avx2 = Avx2KQuantizers()[i], &portable = PortableKQuantizers()[i];
      ASSERT_EQ(avx2.dtype, portable.dtype);
      const auto elements = static_cast<int64_t>(values.size());
      std::vector<std::byte> a(static_cast<size_t>(ByteSize(avx2.dtype, elements).value()));
      std::vector<std::byte> b(a.size());
      avx2.encode(values.data(), elements, a.data());
      portable.encode(values.data(), elements, b.data());
      EXPECT_EQ(a, b) << Name(avx2.dtype);
    }
  }
}

struct Moments {
  double mean;
  double deviation;
};

Moments MomentsOf(const std::vector<float>& values) {
  double sum = 0;
  double squares = 0;
  for (const float value : values) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const double n = static_cast<double>(values.size());
  return {sum / n, std::sqrt(squares / n - sum / n * (sum / n))};
}

TEST(RandomBlocksTest, EveryDecodableFormatHasTheAskedSpread) {
  constexpr int64_t kElements = 1 << 18;
  for (const DTypeInfo& info : AllDTypes()) {
    if (!CanDequantize(info.dtype)) continue;
    for (const float scale : {0.02f, 3.0f}) {
      const auto blocks = RandomBlocks(info.dtype, kElements, 7, scale);
      ASSERT_TRUE(blocks.ok()) << blocks.status();
      const Moments moments = MomentsOf(Decode(info.dtype, *blocks, kElements));
      // 1024 or more blocks with independent scales: the sample deviation is good to 1 %, the mean
      // to 2 % of it. An infinity or a NaN among the values fails both.
      EXPECT_NEAR(moments.deviation / scale, 1.0, 0.05) << info.name << " " << scale;
      EXPECT_NEAR(moments.mean / scale, 0.0, 0.06) << info.name << " " << scale;
    }
  }
}

TEST(RandomBlocksTest, SeedDecidesTheBytes) {
  for (const DType dtype : {DType::kF16, DType::kQ8_0, DType::kQ4_K}) {
    const auto blocks = RandomBlocks(dtype, 1024, 1, 0.1f).value();
    EXPECT_EQ(RandomBlocks(dtype, 1024, 1, 0.1f).value(), blocks);
    EXPECT_NE(RandomBlocks(dtype, 1024, 2, 0.1f).value(), blocks);
    // A longer tensor starts with the same bytes.
    const auto longer = RandomBlocks(dtype, 2048, 1, 0.1f).value();
    EXPECT_TRUE(std::equal(blocks.begin(), blocks.end(), longer.begin()));
  }
}

// Golden bytes: other machines and later versions make the same models. What follows the f16 scales
// is SplitMix64's published first output for 42, 0xbdd732262feb6e95, from its third or fifth byte.
TEST(RandomBlocksTest, BytesNeverChange) {
  const auto head = [](DType dtype) {
    return Hex(RandomBlocks(dtype, 256, 42, 0.05f).value()).substr(0, 24);
  };
  EXPECT_EQ(head(DType::kF32), "90461dbd1540733d7e405cbd");
  EXPECT_EQ(head(DType::kQ8_0), "4913eb2f2632d7bd03f166b2");
  EXPECT_EQ(head(DType::kQ4_K), "3c07c8122632d7bd03f166b2");
}

TEST(RandomBlocksTest, FormatsWithoutMinHaveScalesOfBothSigns) {
  const auto blocks = RandomBlocks(DType::kQ8_0, 64 * 32, 3, 1.0f).value();
  int negative = 0;
  for (size_t at = 0; at < blocks.size(); at += sizeof(BlockQ8_0)) {
    BlockQ8_0 block;
    std::memcpy(&block, &blocks[at], sizeof(block));
    negative += LoadF16(block.d) < 0;
  }
  EXPECT_GT(negative, 16);
  EXPECT_LT(negative, 48);
}

TEST(RandomBlocksTest, ErrorsSayWhatIsWrong) {
  const auto message = [](DType dtype, int64_t elements, float scale) {
    return std::string(RandomBlocks(dtype, elements, 1, scale).status().message());
  };
  EXPECT_THAT(message(DType::kQ4_K, 100, 1.0f), HasSubstr("block size 256"));
  EXPECT_THAT(message(DType::kQ4_K, -256, 1.0f), HasSubstr("-256 elements"));
  EXPECT_THAT(message(DType::kQ4_K, 256, 1e-9f), HasSubstr("standard deviation"));
  EXPECT_THAT(message(DType::kQ4_K, 256, NAN), HasSubstr("standard deviation"));
  EXPECT_THAT(message(DType::kI32, 256, 1.0f), HasSubstr("random i32 weights"));
  EXPECT_THAT(message(DType::kNVFP4, 256, 1e4f), HasSubstr("the largest of this format is 224"));
  std::vector<std::byte> partial(143);
  EXPECT_EQ(FillRandomBlocks(DType::kQ4_K, 1, 1.0f, absl::MakeSpan(partial)).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
