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
    if (const DequantizeFn decode = DequantizerFor(*dtype)) {
      ExpectBitExact(decode, golden);
      covered.insert(*dtype);
    }
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
  EXPECT_GE(CheckPack(ConformanceDir() + "/dequant").size(), 14u);
}

TEST(DequantizeTest, DecodesTheFormatsOfCommonFiles) {
  std::vector<std::string> names;
  for (const DTypeInfo& info : DecodableTypes()) names.emplace_back(info.name);
  EXPECT_THAT(names,
              testing::IsSupersetOf({"f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0",
                                     "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs"}));
  for (const DType dtype : {DType::kI8, DType::kI32, DType::kF64, DType::kQ8_K}) {
    EXPECT_FALSE(CanDequantize(dtype)) << Name(dtype);
  }
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

// Files may hold any bytes. All ones is a NaN in each scale and in each plain float.
TEST(DequantizeTest, NanScalesGiveNans) {
  for (const DTypeInfo& info : DecodableTypes()) {
    const int64_t elements = 2 * info.elements_per_block;
    const std::vector<std::byte> blocks(static_cast<size_t>(2 * info.bytes_per_block),
                                        std::byte{0xff});
    std::vector<float> decoded(static_cast<size_t>(elements), 0.0f);
    DequantizerFor(info.dtype)(blocks.data(), elements, decoded.data());
    for (const float value : decoded) ASSERT_TRUE(std::isnan(value)) << info.name;
  }
}

}  // namespace
}  // namespace sluice
