// Decoding, bit for bit against ggml's: tests/data/dequant, and the full conformance pack where it
// is present.
#include "graph/formats/dequantize.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "gmock/gmock.h"
#include "graph/formats/grids.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/paths.h"

namespace sluice {
namespace {

std::vector<std::byte> ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  EXPECT_TRUE(file) << path;
  if (!file) return {};
  std::vector<std::byte> bytes(static_cast<size_t>(file.tellg()));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

// One entry of a pack's manifest.
struct GoldenCase {
  std::string type;
  int64_t ggml_id;
  int64_t elements_per_block;
  int64_t bytes_per_block;
  int64_t blocks;
  std::string blocks_path;
  std::string f32_path;
};

std::vector<GoldenCase> ReadManifest(const std::string& dir) {
  std::ifstream file(dir + "/manifest.json");
  EXPECT_TRUE(file) << dir;
  std::vector<GoldenCase> cases;
  const auto manifest = nlohmann::json::parse(file);
  for (const auto& entry : manifest.at("types")) {
    cases.push_back({entry.at("type"), entry.at("ggml_type_id"), entry.at("elements_per_block"),
                     entry.at("bytes_per_block"), entry.at("blocks"),
                     dir + "/" + entry.at("blocks_file").get<std::string>(),
                     dir + "/" + entry.at("f32_file").get<std::string>()});
  }
  return cases;
}

void ExpectBitExact(DequantizeFn decode, const GoldenCase& golden) {
  SCOPED_TRACE(golden.blocks_path);
  const std::vector<std::byte> blocks = ReadBytes(golden.blocks_path);
  const std::vector<std::byte> expected_bytes = ReadBytes(golden.f32_path);
  const auto elements = static_cast<size_t>(golden.blocks * golden.elements_per_block);
  ASSERT_EQ(blocks.size(), static_cast<size_t>(golden.blocks * golden.bytes_per_block));
  ASSERT_EQ(expected_bytes.size(), elements * sizeof(float));

  // A float after the output shows a decoder that writes too much.
  constexpr float kGuard = 12345.0f;
  std::vector<float> decoded(elements + 1, kGuard);
  decode(blocks.data(), static_cast<int64_t>(elements), decoded.data());
  EXPECT_EQ(decoded.back(), kGuard);

  std::vector<float> expected(elements);
  std::memcpy(expected.data(), expected_bytes.data(), expected_bytes.size());
  for (size_t i = 0; i < elements; ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(decoded[i]), std::bit_cast<uint32_t>(expected[i]))
        << "element " << i << ": " << decoded[i] << ", expected " << expected[i];
  }
}

// Checks a pack and returns the formats that it covers.
std::set<DType> CheckPack(const std::string& dir) {
  std::set<DType> covered;
  for (const GoldenCase& golden : ReadManifest(dir)) {
    SCOPED_TRACE(golden.type);
    const std::optional<DType> dtype = DTypeFromName(absl::AsciiStrToLower(golden.type));
    if (!dtype) {
      ADD_FAILURE() << "no such dtype";
      continue;
    }
    EXPECT_EQ(Info(*dtype).ggml_id, golden.ggml_id);
    EXPECT_EQ(Info(*dtype).elements_per_block, golden.elements_per_block);
    EXPECT_EQ(Info(*dtype).bytes_per_block, golden.bytes_per_block);
    const DequantizeFn decode = DequantizerFor(*dtype);
    EXPECT_NE(decode, nullptr);
    if (decode == nullptr) continue;
    ExpectBitExact(decode, golden);
    covered.insert(*dtype);
  }
  return covered;
}

std::vector<DTypeInfo> DecodableTypes() {
  std::vector<DTypeInfo> types;
  for (const DTypeInfo& info : AllDTypes()) {
    if (CanDequantize(info.dtype)) types.push_back(info);
  }
  return types;
}

TEST(DequantizeTest, OwnDataBitExactForEveryDecodableFormat) {
  const std::set<DType> covered = CheckPack(TestDataDir() + "/dequant");
  for (const DTypeInfo& info : DecodableTypes()) {
    if (info.dtype == DType::kF32) continue;  // a copy; see F32IsCopied
    EXPECT_TRUE(covered.contains(info.dtype)) << "tests/data/dequant lacks " << info.name;
  }
}

TEST(DequantizeTest, ConformancePackBitExact) {
  if (ConformanceDir().empty()) GTEST_SKIP() << "the conformance pack is not beside the checkout";
  EXPECT_GE(CheckPack(ConformanceDir() + "/dequant").size(), 27u);
}

// What weights are never stored in: integers, and the formats of activations.
TEST(DequantizeTest, DecodesAllButIntegersF64AndActivations) {
  std::set<DType> others;
  for (const DTypeInfo& info : AllDTypes()) {
    if (!CanDequantize(info.dtype)) others.insert(info.dtype);
  }
  EXPECT_THAT(others,
              testing::UnorderedElementsAre(DType::kF64, DType::kI8, DType::kI16, DType::kI32,
                                            DType::kI64, DType::kQ8_1, DType::kQ8_K));
}

TEST(DequantizeTest, F32IsCopied) {
  const std::vector<float> values = {0.0f, -0.0f, 1.5f, -1e-42f, INFINITY};
  std::vector<float> decoded(values.size());
  DequantizerFor(DType::kF32)(reinterpret_cast<const std::byte*>(values.data()),
                              static_cast<int64_t>(values.size()), decoded.data());
  EXPECT_EQ(std::memcmp(decoded.data(), values.data(), values.size() * sizeof(float)), 0);
}

// Tensors of the oldest files are not aligned.
TEST(DequantizeTest, BlocksMayLieAtAnyAddress) {
  for (const GoldenCase& golden : ReadManifest(TestDataDir() + "/dequant")) {
    SCOPED_TRACE(golden.type);
    const std::optional<DType> dtype = DTypeFromName(absl::AsciiStrToLower(golden.type));
    ASSERT_TRUE(dtype);
    const std::vector<std::byte> blocks = ReadBytes(golden.blocks_path);
    std::vector<std::byte> shifted(1);
    shifted.insert(shifted.end(), blocks.begin(), blocks.end());

    const int64_t elements = golden.blocks * golden.elements_per_block;
    std::vector<float> expected(static_cast<size_t>(elements));
    std::vector<float> decoded(static_cast<size_t>(elements));
    DequantizerFor (*dtype)(blocks.data(), elements, expected.data());
    DequantizerFor (*dtype)(shifted.data() + 1, elements, decoded.data());
    EXPECT_EQ(std::memcmp(decoded.data(), expected.data(), decoded.size() * sizeof(float)), 0);
  }
}

// Files may hold any bytes. All ones is a NaN in each f16 scale and in each plain float; the scales
// of MXFP4 and NVFP4 have no NaN in ggml, and decode to 2^127 and 240 with a quant of -12.
TEST(DequantizeTest, AllOnesAreNansWhereScalesHaveThem) {
  for (const DTypeInfo& info : DecodableTypes()) {
    const int64_t elements = 2 * info.elements_per_block;
    const std::vector<std::byte> blocks(static_cast<size_t>(2 * info.bytes_per_block),
                                        std::byte{0xff});
    std::vector<float> decoded(static_cast<size_t>(elements), 0.0f);
    DequantizerFor(info.dtype)(blocks.data(), elements, decoded.data());
    SCOPED_TRACE(info.name);
    if (info.dtype == DType::kMXFP4) {
      EXPECT_THAT(decoded, testing::Each(-INFINITY));
    } else if (info.dtype == DType::kNVFP4) {
      EXPECT_THAT(decoded, testing::Each(-2880.0f));
    } else {
      EXPECT_THAT(decoded, testing::Each(testing::IsNan()));
    }
  }
}

// FNV-1a over the components of a grid's points.
template <size_t kWidth, size_t kCount>
uint64_t HashOf(const Grid<kWidth, kCount>& grid) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const auto& point : grid) {
    for (const int8_t component : point) {
      hash = (hash ^ static_cast<uint8_t>(component)) * 0x100000001b3;
    }
  }
  return hash;
}

// Golden blocks do not hold every point. The hashes are those of what ggml of llama.cpp v0.5.0
// decodes from blocks that hold each point of a format once, with a scale of 1 and no minus (IQ1:
// in eighths, less the shift).
TEST(GridsTest, PointsAreThoseOfGgml) {
  EXPECT_EQ(HashOf(kGridIQ1), 0x99649f4b16b0d5dd);
  EXPECT_EQ(HashOf(kGridIQ2XXS), 0xbb4ee025b5ac6e8e);
  EXPECT_EQ(HashOf(kGridIQ2XS), 0xc9b1ee61e79909bd);
  EXPECT_EQ(HashOf(kGridIQ2S), 0x123edd38a3b62b90);
  EXPECT_EQ(HashOf(kGridIQ3XXS), 0xdfa5dc83d6a155d5);
  EXPECT_EQ(HashOf(kGridIQ3S), 0xfa37020c25b44829);
}

}  // namespace
}  // namespace sluice
