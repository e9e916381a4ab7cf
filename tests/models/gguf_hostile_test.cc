// Malformed GGUF files: each is an error that names file and place, and none is a crash. Run with
// AddressSanitizer, every input lies in an allocation of exactly its size.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <regex.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "models/files/gguf.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/paths.h"
#include "tests/support/source_walk.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint64_t kMaxU64 = ~uint64_t{0};
// GGML type ids.
constexpr uint32_t kF32 = 0;
constexpr uint32_t kQ80 = 8;

// The message of opening `bytes`, "" where that works; then everything in the file was read.
std::string ErrorOf(absl::string_view bytes) {
  const absl::Span<const std::byte> view = AsBytes(bytes);
  const std::vector<std::byte> exact(view.begin(), view.end());
  const auto file = GgufFile::FromMemory(exact, "m.gguf");
  if (file.ok()) {
    EXPECT_EQ(WalkSource(**file), "");
    return "";
  }
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(file.status().message()), testing::StartsWith("m.gguf: "));
  return std::string(file.status().message());
}

std::string ErrorOf(const GgufBytes& file) { return ErrorOf(file.Build()); }
std::string ErrorOfKey(std::string key) { return ErrorOf({.keys = {std::move(key)}}); }
// A file with one tensor and 128 bytes of data.
std::string ErrorOfTensor(std::string record) {
  return ErrorOf({.tensors = {std::move(record)}, .data = std::string(128, '\1')});
}
std::string ErrorOfAlignment(uint32_t alignment) {
  return ErrorOfKey(Key("general.alignment", MetadataType::kU32, Le(alignment)));
}

GgufBytes ValidFile() {
  return {.keys = {Key("general.architecture", MetadataType::kString, Text("llama")),
                   Key("b", MetadataType::kBool, Le(uint8_t{1})),
                   Key("n", MetadataType::kU64, Le(uint64_t{3})),
                   ArrayKey("s", MetadataType::kString, 2, Text("x") + Text("yz")),
                   ArrayKey("f", MetadataType::kF32, 2, Le(1.0F) + Le(2.0F))},
          .tensors = {Record("a", {4, 2}, kF32, 0), Record("q", {32, 1, 1, 1}, kQ80, 32)},
          .data = std::string(32 + 34, '\2')};
}

TEST(GgufHostile, TheValidFileIsValid) { EXPECT_EQ(ErrorOf(ValidFile()), ""); }

TEST(GgufHostile, EveryTruncationIsAnError) {
  const std::string bytes = ValidFile().Build();
  EXPECT_THAT(ErrorOf(""), HasSubstr("the file is empty"));
  for (size_t size = 1; size < bytes.size(); ++size) {
    EXPECT_THAT(ErrorOf(absl::string_view(bytes).substr(0, size)),
                testing::ContainsRegex("end of (the )?file|exceeds"))
        << "cut to " << size;
  }
}

// Whatever a single wrong byte does, it does not lead out of the file.
TEST(GgufHostile, EverySingleByteMutationIsSurvived) {
  const std::string bytes = ValidFile().Build();
  int rejected = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const int flip : {0x01, 0x02, 0x40, 0x80, 0xFF}) {
      std::string mutated = bytes;
      mutated[at] = static_cast<char>(mutated[at] ^ flip);
      if (!ErrorOf(mutated).empty()) ++rejected;
    }
  }
  // Most of the file is structure.
  EXPECT_GT(rejected, static_cast<int>(bytes.size()));
}

TEST(GgufHostile, EveryWordMutationIsSurvived) {
  const std::string bytes = ValidFile().Build();
  for (size_t at = 0; at + 8 <= bytes.size(); ++at) {
    for (const uint64_t value : {kMaxU64, kMaxU64 >> 1, uint64_t{1} << 62, uint64_t{1} << 63,
                                 kMaxU64 - 7, uint64_t{1} << 32, uint64_t{0}}) {
      std::string mutated = bytes;
      mutated.replace(at, 8, Le(value));
      ErrorOf(mutated);
    }
  }
}

TEST(GgufHostile, MagicAndVersion) {
  const std::string bytes = ValidFile().Build();
  const auto with_version = [&bytes](uint32_t version) {
    std::string changed = bytes;
    changed.replace(4, 4, Le(version));
    return ErrorOf(changed);
  };
  EXPECT_THAT(ErrorOf("gguf" + bytes.substr(4)),
              HasSubstr("header at byte 0: not a GGUF file: it has the magic 'gguf'"));
  EXPECT_THAT(ErrorOf("\x1B[2J" + bytes.substr(4)), HasSubstr("'\\x1B[2J'"));
  EXPECT_THAT(with_version(0), HasSubstr("header at byte 4: unknown GGUF version 0"));
  EXPECT_THAT(with_version(1), HasSubstr("version 1 is not supported, expected 2 or 3"));
  EXPECT_EQ(with_version(2), "");
  EXPECT_THAT(with_version(4), HasSubstr("unknown GGUF version 4"));
  EXPECT_THAT(with_version(99), HasSubstr("unknown GGUF version 99"));
  EXPECT_THAT(with_version(0x03000000), HasSubstr("big-endian"));
}

// Nothing may be allocated for these: the test would run out of memory.
TEST(GgufHostile, HugeCounts) {
  for (const uint64_t count : {kMaxU64, uint64_t{1} << 63, uint64_t{1} << 62, uint64_t{1} << 40}) {
    EXPECT_THAT(ErrorOf(absl::StrCat("GGUF", Le(3U), Le(count), Le(uint64_t{0}))),
                HasSubstr(absl::StrCat("tensor count ", count, " exceeds")));
    EXPECT_THAT(ErrorOf(absl::StrCat("GGUF", Le(3U), Le(uint64_t{0}), Le(count))),
                HasSubstr(absl::StrCat("header at byte 16: key count ", count, " exceeds")));
    EXPECT_THAT(ErrorOfKey(absl::StrCat(Le(count), "abcdefgh")), HasSubstr("key 0 at byte 24"));
    EXPECT_THAT(ErrorOfKey(Key("k", MetadataType::kString, Le(count))),
                AllOf(HasSubstr("key 'k'"), HasSubstr(absl::StrCat("a length of ", count))));
    for (const MetadataType type : {MetadataType::kU8, MetadataType::kF64, MetadataType::kString}) {
      EXPECT_THAT(ErrorOfKey(ArrayKey("k", type, count, "12345678")),
                  AllOf(HasSubstr("key 'k'"), HasSubstr(absl::StrCat("array of ", count))));
    }
  }
  // More entries than any model has, in a file that could hold them.
  const std::string zeros(size_t{14} << 20, '\0');
  EXPECT_THAT(
      ErrorOf(absl::StrCat("GGUF", Le(3U), Le(uint64_t{0}),
                           Le(static_cast<uint64_t>(GgufLimits::kEntries + 1)), zeros, zeros)),
      HasSubstr("exceeds the limit of 1048576"));
}

TEST(GgufHostile, ArraySizesThatWrap) {
  // 2^61 + 1 elements of 8 bytes are 8 bytes modulo 2^64.
  EXPECT_THAT(ErrorOfKey(ArrayKey("k", MetadataType::kU64, (uint64_t{1} << 61) + 1, Le(kMaxU64))),
              HasSubstr("exceeds"));
  EXPECT_THAT(ErrorOfKey(ArrayKey("k", MetadataType::kString, 2, Text("a") + Le(kMaxU64 - 7))),
              HasSubstr("a string of the array has a length of 18446744073709551608 bytes"));
  EXPECT_THAT(ErrorOfKey(ArrayKey("k", MetadataType::kString, 2, Text("a") + Le(uint64_t{1}))),
              HasSubstr("a string of the array takes 1 bytes, 0 are left"));
}

TEST(GgufHostile, ValueTypes) {
  EXPECT_THAT(ErrorOfKey(Key("k", 13, Le(kMaxU64))),
              HasSubstr("key 'k' at byte 33: unknown value type 13, expected 0 to 12"));
  EXPECT_THAT(ErrorOfKey(Key("k", ~0U, Le(kMaxU64))), HasSubstr("unknown value type 4294967295"));
  EXPECT_THAT(ErrorOfKey(ArrayKey("k", MetadataType{13}, 1, Le(kMaxU64))),
              HasSubstr("unknown array element type 13"));
  EXPECT_THAT(ErrorOfKey(ArrayKey("k", MetadataType::kArray, 1,
                                  Le(MetadataType::kU8) + Le(uint64_t{1}) + "x")),
              HasSubstr("key 'k' at byte 37: nested arrays"));
  EXPECT_THAT(ErrorOfKey(Key("k", MetadataType::kBool, Le(uint8_t{2}))), HasSubstr("a bool is 2"));
  EXPECT_THAT(ErrorOfKey(ArrayKey("k", MetadataType::kBool, 2, "\1\xFF")),
              HasSubstr("a bool is 255"));
}

TEST(GgufHostile, KeyNames) {
  const std::string value = Le(uint8_t{1});
  EXPECT_THAT(ErrorOfKey(Key("", MetadataType::kU8, value + "x")),
              HasSubstr("key 0 at byte 32: the name is empty"));
  EXPECT_THAT(ErrorOfKey(Key(absl::string_view("a\0b", 3), MetadataType::kU8, value)),
              HasSubstr("the name 'a\\x00b' contains a NUL"));
  EXPECT_THAT(ErrorOfKey(Key(std::string(65536, 'k'), MetadataType::kU8, value)),
              HasSubstr("exceeds the limit of 65535"));
  EXPECT_EQ(ErrorOfKey(Key("\xFF\x1B", MetadataType::kU8, value)), "");
  EXPECT_THAT(ErrorOf({.keys = {Key("\x1Bk", MetadataType::kU8, value),
                                Key("\x1Bk", MetadataType::kU8, value)}}),
              HasSubstr("key '\\x1Bk' at byte 47: duplicate key"));
}

TEST(GgufHostile, Alignment) {
  for (const uint32_t alignment : {0U, 3U, 4U, 48U, 1U << 31, ~0U}) {
    EXPECT_THAT(ErrorOfAlignment(alignment),
                AllOf(HasSubstr("key 'general.alignment' at byte 53"),
                      HasSubstr(absl::StrCat("the alignment is ", alignment))));
  }
  for (const uint32_t alignment : {8U, 32U, 1U << 30}) EXPECT_EQ(ErrorOfAlignment(alignment), "");
  EXPECT_THAT(ErrorOfKey(Key("general.alignment", MetadataType::kString, Text("32"))),
              HasSubstr("expected an integer, got string"));
  // The data section would begin behind the end of the file.
  GgufBytes file = ValidFile();
  file.keys.push_back(Key("general.alignment", MetadataType::kU32, Le(uint32_t{4096})));
  file.tensors = {Record("a", {4, 2}, kF32, 0)};
  EXPECT_THAT(ErrorOf(file), HasSubstr("tensor 'a' at byte 4096: the data, 32 bytes, goes beyond"));
  file.alignment = 4096;
  EXPECT_EQ(ErrorOf(file), "");
}

TEST(GgufHostile, TensorNames) {
  EXPECT_EQ(ErrorOfTensor(Record(std::string(63, 't'), {4}, kF32, 0)), "");
  EXPECT_THAT(ErrorOfTensor(Record(std::string(64, 't'), {4}, kF32, 0)),
              HasSubstr("tensor 0 at byte 24: the name has a length of 64 bytes"));
  EXPECT_THAT(ErrorOfTensor(Record("", {4}, kF32, 0)), HasSubstr("the name is empty"));
  EXPECT_THAT(ErrorOfTensor(Record(absl::string_view("a\0", 2), {4}, kF32, 0)),
              HasSubstr("contains a NUL"));
  EXPECT_THAT(ErrorOfTensor(Le(kMaxU64) + std::string(40, 'x')),
              HasSubstr("exceeds the limit of 63"));
  EXPECT_THAT(ErrorOf({.tensors = {Record("t", {4}, kF32, 0), Record("t", {4}, kF32, 32)},
                       .data = std::string(64, '\0')}),
              HasSubstr("tensor 't' at byte 65: duplicate tensor"));
}

TEST(GgufHostile, Shapes) {
  const uint64_t two32 = uint64_t{1} << 32;
  EXPECT_THAT(ErrorOfTensor(Record("t", {}, kF32, 0) + "12345678"),
              HasSubstr("tensor 't' at byte 33: the tensor has 0 dimensions, expected 1 to 4"));
  EXPECT_THAT(ErrorOfTensor(Record("t", {1, 1, 1, 1, 1}, kF32, 0)), HasSubstr("has 5 dimensions"));
  EXPECT_THAT(ErrorOfTensor(Record("t", {4, 0}, kF32, 0)), HasSubstr("dimension 1 is 0"));
  EXPECT_THAT(ErrorOfTensor(Record("t", {kMaxU64}, kF32, 0)),
              HasSubstr("dimension 0 is 18446744073709551615"));
  EXPECT_THAT(ErrorOfTensor(Record("t", {two32, two32}, kF32, 0)),
              HasSubstr("product of the first 2 dimensions overflows"));
  EXPECT_THAT(ErrorOfTensor(Record("t", {two32, two32 / 4}, kF32, 0)),
              HasSubstr("the size of 4611686018427387904 elements of f32 overflows"));
  EXPECT_THAT(ErrorOfTensor(Record("t", {two32, two32 / 16}, kF32, 0)), HasSubstr("goes beyond"));
  EXPECT_THAT(ErrorOfTensor(Record("t", {48, 2}, kQ80, 0)),
              HasSubstr("rows of 48 elements are no multiple of the block size 32 of q8_0"));
}

TEST(GgufHostile, TensorTypes) {
  for (const uint32_t type : {4U, 5U, 31U, 36U, 99U, ~0U}) {
    EXPECT_THAT(
        ErrorOfTensor(Record("t", {256}, type, 0)),
        AllOf(HasSubstr("tensor 't'"), HasSubstr(absl::StrCat("unknown tensor type ", type))));
  }
}

TEST(GgufHostile, Offsets) {
  EXPECT_EQ(ErrorOfTensor(Record("t", {24}, kF32, 32)), "");
  EXPECT_THAT(ErrorOfTensor(Record("t", {4}, kF32, 4)),
              HasSubstr("tensor 't' at byte 49: offset 4 is not aligned to 32 bytes"));
  EXPECT_THAT(ErrorOfTensor(Record("t", {25}, kF32, 32)),
              HasSubstr("the data, 100 bytes, goes beyond the end of the file, 192 bytes"));
  EXPECT_THAT(ErrorOfTensor(Record("t", {4}, kF32, 128)), HasSubstr("goes beyond"));
  for (const uint64_t offset : {uint64_t{1} << 30, kMaxU64 - 31, uint64_t{1} << 63}) {
    EXPECT_THAT(ErrorOfTensor(Record("t", {4}, kF32, offset)),
                HasSubstr(absl::StrCat("offset ", offset, " lies beyond the end of the file")));
  }
}

TEST(GgufHostile, TensorsMayLieInAnyOrderButNotOverlap) {
  const auto error_of = [](uint64_t a, uint64_t b, uint64_t c) {
    return ErrorOf({.tensors = {Record("a", {16}, kF32, a), Record("b", {8}, kF32, b),
                                Record("c", {8}, kF32, c)},
                    .data = std::string(160, '\0')});
  };
  EXPECT_EQ(error_of(0, 64, 96), "");
  EXPECT_EQ(error_of(96, 32, 0), "");
  EXPECT_THAT(error_of(32, 0, 64),
              HasSubstr("tensor 'c' at byte 192: the data begins inside that of tensor 'a', which "
                        "ends at byte 224"));
  EXPECT_THAT(error_of(0, 64, 64), HasSubstr("overlap"));
}

TEST(GgufHostile, TrailingBytesAreFine) {
  EXPECT_EQ(ErrorOf(ValidFile().Build() + "trailing"), "");
}

TEST(GgufHostile, UnalignedMemoryIsRefused) {
  const std::string bytes = "    " + ValidFile().Build();
  EXPECT_THAT(
      std::string(GgufFile::FromMemory(AsBytes(bytes).subspan(4), "m.gguf").status().message()),
      HasSubstr("no multiple of 8"));
}

// What this layer rejects; the other cases are about the meaning of keys and tensors, and must
// open.
const std::set<std::string>& FormatErrors() {
  static const auto& cases = *new std::set<std::string>{
      "alignment-0.gguf",
      "alignment-2p31.gguf",
      "array-length-2p62.gguf",
      "array-of-2p60-strings.gguf",
      "big-endian.gguf",
      "dim-zero.gguf",
      "dims-5.gguf",
      "dims-product-wraps.gguf",
      "directory.gguf",
      "duplicate-key.gguf",
      "duplicate-tensor.gguf",
      "empty.gguf",
      "magic-lower-case.gguf",
      "n-kv-2p40.gguf",
      "n-kv-one-more.gguf",
      "n-tensors-2p64-1.gguf",
      "nested-array.gguf",
      "offset-past-end.gguf",
      "offset-unaligned.gguf",
      "row-not-multiple-of-block.gguf",
      "string-length-2p64-1.gguf",
      "tensor-name-2p64-1.gguf",
      "text.gguf",
      "truncated-in-array-header.gguf",
      "truncated-in-counts.gguf",
      "truncated-in-key.gguf",
      "truncated-in-string-value.gguf",
      "truncated-in-tensor-dims.gguf",
      "truncated-last-tensor.gguf",
      "truncated-no-data.gguf",
      "type-4-removed.gguf",
      "type-99.gguf",
      "value-type-13.gguf",
      "version-0.gguf",
      "version-4.gguf",
  };
  return cases;
}

// POSIX, not std::regex: GCC warns inside the latter when a sanitizer is on.
bool Matches(const std::string& text, const std::string& pattern) {
  regex_t compiled;
  if (regcomp(&compiled, pattern.c_str(), REG_EXTENDED | REG_ICASE | REG_NOSUB) != 0) {
    ADD_FAILURE() << "not a regular expression: " << pattern;
    return false;
  }
  const bool found = regexec(&compiled, text.c_str(), 0, nullptr, 0) == 0;
  regfree(&compiled);
  return found;
}

void CheckPack(const std::string& folder) {
  std::ifstream in(folder + "/manifest.json");
  ASSERT_TRUE(in.good()) << folder;
  const nlohmann::json manifest = nlohmann::json::parse(in);
  ASSERT_FALSE(manifest["cases"].empty());
  for (const auto& test_case : manifest["cases"]) {
    const std::string name = test_case["file"];
    const std::string path = absl::StrCat(folder, "/", name);
    SCOPED_TRACE(path);
    ASSERT_TRUE(std::filesystem::exists(path));
    const auto file = GgufFile::Open(path);
    if (!FormatErrors().contains(name)) {
      ASSERT_TRUE(file.ok()) << file.status();
      EXPECT_EQ(WalkSource(**file), "");
      continue;
    }
    EXPECT_EQ(test_case["expect"], "reject");
    ASSERT_FALSE(file.ok());
    const std::string message(file.status().message());
    EXPECT_THAT(message, HasSubstr(path));
    // The path itself must not be what matches.
    EXPECT_TRUE(Matches(message.substr(path.size()), test_case["message_matches"])) << message;
  }
}

TEST(GgufHostile, SmallPack) { CheckPack(TestDataDir() + "/hostile"); }

TEST(GgufHostile, ConformancePack) {
  if (ConformanceDir().empty()) GTEST_SKIP() << "the conformance pack is absent";
  CheckPack(ConformanceDir() + "/hostile");
}

}  // namespace
}  // namespace sluice
