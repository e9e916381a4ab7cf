// Files from before GGUF: what is read from them, and what is refused.
#include "models/files/ggml_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "models/files/gguf_writer.h"
#include "models/files/model_files.h"
#include "models/files/tokenizer_keys.h"
#include "tests/support/ggml_bytes.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/source_walk.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Bytes of `count` elements: 0, 1, 2, ...
template <typename T>
std::string Counting(int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += Le(static_cast<T>(i));
  return bytes;
}

// hidden 4, 4 heads of 1, 2 key-value heads. The tensors that every file must have come last, so
// that no shorter file is whole.
GgmlBytes ValidFile(std::string magic = "tjgg", uint32_t version = 3) {
  return {.magic = std::move(magic),
          .version = version,
          .hidden = 4,
          .heads = 4,
          .layers = 1,
          .rotated = 2,
          .tokens = {{"?"}, {""}, {""}, {"A", -1}, {" a b", 2.5F}},
          .tensors = {{"norm.weight", {4}, 0, Counting<float>(4)},
                      {"layers.0.attention.wk.weight", {4, 2}, 1, Counting<uint16_t>(8)},
                      {"strange", {2}, 0, Counting<float>(2)},
                      {"tok_embeddings.weight", {4, 5}, 0, Counting<float>(20)},
                      {"layers.0.feed_forward.w1.weight", {4, 6}, 0, Counting<float>(24)}}};
}

std::vector<GgmlBytes> FilesOfAllVersions() {
  return {ValidFile("lmgg", 0), ValidFile("fmgg", 1), ValidFile("tjgg", 1), ValidFile("tjgg", 2),
          ValidFile("tjgg", 3)};
}

// `bytes` stay with the caller.
std::unique_ptr<GgmlFile> Open(absl::string_view bytes, const FileOptions& options = {}) {
  auto file = GgmlFile::FromMemory(AsBytes(bytes), "m.bin", options);
  EXPECT_TRUE(file.ok()) << file.status();
  return file.ok() ? *std::move(file) : nullptr;
}

// The error of opening `bytes`, OK where that works; then everything in the file was read.
absl::Status StatusOf(absl::string_view bytes, const FileOptions& options = {}) {
  const absl::Span<const std::byte> view = AsBytes(bytes);
  const std::vector<std::byte> exact(view.begin(), view.end());
  const auto file = GgmlFile::FromMemory(exact, "m.bin", options);
  if (file.ok()) {
    EXPECT_EQ(WalkSource(**file), "");
    return absl::OkStatus();
  }
  EXPECT_THAT(std::string(file.status().message()), testing::StartsWith("m.bin: "));
  return file.status();
}
std::string ErrorOf(absl::string_view bytes) { return std::string(StatusOf(bytes).message()); }
std::string ErrorOf(const GgmlBytes& file) { return ErrorOf(file.Build()); }

// Of a file with this tensor in front of the others.
std::string ErrorOfTensor(GgmlTensor tensor) {
  GgmlBytes file = ValidFile();
  file.tensors.insert(file.tensors.begin(), std::move(tensor));
  return ErrorOf(file);
}

TEST(GgmlFile, TellsTheHyperparametersInGgufKeys) {
  std::vector<std::string> formats;
  for (const GgmlBytes& content : FilesOfAllVersions()) {
    const std::string bytes = content.Build();
    const auto file = Open(bytes);
    ASSERT_NE(file, nullptr);
    formats.push_back(file->format());
    const auto number = [&](absl::string_view key) { return file->Find(key)->AsInt().value(); };
    EXPECT_EQ(file->Find("general.architecture")->AsString().value(), "llama");
    EXPECT_EQ(number("llama.embedding_length"), 4);
    EXPECT_EQ(number("llama.attention.head_count"), 4);
    EXPECT_EQ(number("llama.attention.head_count_kv"), 2);
    EXPECT_EQ(number("llama.block_count"), 1);
    EXPECT_EQ(number("llama.rope.dimension_count"), 2);
    EXPECT_EQ(number("llama.feed_forward_length"), 6);
    EXPECT_EQ(number("llama.context_length"), 2048);
    EXPECT_EQ(file->Find("llama.attention.layer_norm_rms_epsilon")->AsFloat().value(), 1e-5);
    EXPECT_EQ(WalkSource(*file), "");
  }
  EXPECT_THAT(formats, ElementsAre("ggml", "ggmf 1", "ggjt 1", "ggjt 2", "ggjt 3"));
}

TEST(GgmlFile, TellsTheVocabularyAsSentencePieceHasIt) {
  for (const GgmlBytes& content : FilesOfAllVersions()) {
    const std::string bytes = content.Build();
    const auto file = Open(bytes);
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(file->Find(kModelKey)->AsString().value(), "llama");
    EXPECT_THAT(file->Find(kTokensKey)->AsStrings().value(),
                ElementsAre("<unk>", "<s>", "</s>", "<0x41>",
                            "\xE2\x96\x81"
                            "a\xE2\x96\x81"
                            "b"));
    EXPECT_THAT(file->Find(kTypesKey)->AsInts().value(), ElementsAre(2, 3, 3, 6, 1));
    if (content.magic == "lmgg") {
      EXPECT_EQ(file->Find(kScoresKey), nullptr);
    } else {
      EXPECT_THAT(file->Find(kScoresKey)->AsFloats().value(), ElementsAre(0, 0, 0, -1, 2.5));
    }
  }
}

TEST(GgmlFile, GivesTensorsTheirNamesShapesAndBytes) {
  for (const GgmlBytes& content : FilesOfAllVersions()) {
    const std::string bytes = content.Build();
    const auto file = Open(bytes);
    ASSERT_NE(file, nullptr);
    std::vector<std::string> names;
    for (size_t i = 0; i < file->tensors().size(); ++i) {
      const StoredTensor& tensor = file->tensors()[i];
      names.push_back(tensor.name);
      EXPECT_TRUE(file->Data(tensor) == AsBytes(content.tensors[i].data)) << tensor.name;
    }
    EXPECT_THAT(names, ElementsAre("output_norm.weight", "blk.0.attn_k.weight", "strange",
                                   "token_embd.weight", "blk.0.ffn_gate.weight"));
    EXPECT_THAT(file->FindTensor("blk.0.attn_k.weight")->shape, ElementsAre(2, 4));
  }
}

TEST(GgmlFile, CopiesOnlyDataThatIsNotAligned) {
  for (const GgmlBytes& content : FilesOfAllVersions()) {
    const std::string bytes = content.Build();
    const auto file = Open(bytes);
    ASSERT_NE(file, nullptr);
    int copied = 0;
    for (const StoredTensor& tensor : file->tensors()) {
      const std::byte* stored = AsBytes(bytes).data() + tensor.offset;
      const bool is_aligned = reinterpret_cast<uintptr_t>(stored) % 4 == 0;
      EXPECT_EQ(file->Data(tensor).data() == stored, is_aligned) << tensor.name;
      if (!is_aligned) ++copied;
    }
    EXPECT_EQ(copied > 0, content.magic != "tjgg") << file->format();
  }
}

TEST(GgmlFile, TakesKeyValueHeadsFromTheOption) {
  const std::string bytes = ValidFile().Build();
  for (const int64_t gqa : {1, 2, 4}) {
    const auto file = Open(bytes, {.gqa = gqa});
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(file->Find("llama.attention.head_count_kv")->AsInt().value(), 4 / gqa);
  }
  for (const int64_t gqa : {3, 8, -1}) {
    EXPECT_THAT(std::string(StatusOf(bytes, {.gqa = gqa}).message()),
                HasSubstr(absl::StrCat("gqa ", gqa, " is not a divisor of the model's 4 heads")));
  }
}

// Which formats have today's blocks in which version.
TEST(GgmlFile, RefusesBlocksOfOtherLayouts) {
  struct Case {
    const char* magic;
    uint32_t version, file_type;
    std::vector<DType> current;
  };
  const std::vector<DType> all = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                                  DType::kQ8_0, DType::kQ2_K, DType::kQ3_K, DType::kQ4_K,
                                  DType::kQ5_K, DType::kQ6_K};
  const std::vector<DType> fives = {DType::kQ5_0, DType::kQ5_1};
  for (const Case& test : {Case{"lmgg", 0, 2, {}}, Case{"fmgg", 1, 2, {}}, Case{"tjgg", 1, 2, {}},
                           Case{"tjgg", 2, 2, fives}, Case{"tjgg", 3, 2, all},
                           Case{"tjgg", 1, 1008, fives}, Case{"tjgg", 1, 2002, all}}) {
    for (const DType dtype : all) {
      GgmlBytes content = ValidFile(test.magic, test.version);
      content.file_type = test.file_type;
      content.tensors.insert(content.tensors.begin(),
                             {"t",
                              {256},
                              static_cast<uint32_t>(Info(dtype).ggml_id),
                              std::string(static_cast<size_t>(*ByteSize(dtype, 256)), '\1')});
      const absl::Status status = StatusOf(content.Build());
      const auto& current = test.current;
      const bool is_current = std::find(current.begin(), current.end(), dtype) != current.end();
      EXPECT_EQ(status.ok(), is_current) << test.magic << test.version << " " << Name(dtype);
      if (is_current) continue;
      EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
      EXPECT_THAT(std::string(status.message()),
                  AllOf(HasSubstr("tensor 't'"), HasSubstr(std::string(Name(dtype))),
                        HasSubstr("convert the model again")));
    }
  }
}

TEST(GgmlFile, RefusesPartsOfAModel) {
  GgmlBytes content = ValidFile();
  content.tensors[3] = {"tok_embeddings.weight", {2, 5}, 0, Counting<float>(10)};
  const absl::Status status = StatusOf(content.Build());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("one of 2 parts of a model"));
}

TEST(GgmlHostile, EveryTruncationIsAnError) {
  for (const GgmlBytes& content : FilesOfAllVersions()) {
    const std::string bytes = content.Build();
    EXPECT_EQ(ErrorOf(bytes), "");
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_THAT(ErrorOf(absl::string_view(bytes).substr(0, size)),
                  testing::ContainsRegex("end of file|exceeds|is missing"))
          << content.magic << content.version << " cut to " << size;
    }
  }
}

// Whatever a wrong number does, it does not lead out of the file.
TEST(GgmlHostile, EveryMutationIsSurvived) {
  for (const GgmlBytes& content : FilesOfAllVersions()) {
    const std::string bytes = content.Build();
    int rejected = 0;
    for (size_t at = 0; at + 4 <= bytes.size(); ++at) {
      for (const uint32_t value :
           {0U, 1U, 255U, 0x10000U, 0x7FFFFFFFU, 0x80000000U, 0xFFFFFFF0U, 0xFFFFFFFFU}) {
        std::string mutated = bytes;
        mutated.replace(at, 4, Le(value));
        if (!StatusOf(mutated).ok()) ++rejected;
      }
    }
    EXPECT_GT(rejected, static_cast<int>(bytes.size()));
  }
}

TEST(GgmlHostile, MagicVersionAndFileType) {
  EXPECT_THAT(ErrorOf(ValidFile("algg", 1)), HasSubstr("unknown magic 'algg'"));
  for (const uint32_t version : {0U, 4U, 0xFFFFFFFFU}) {
    EXPECT_THAT(ErrorOf(ValidFile("tjgg", version)),
                HasSubstr(absl::StrCat("unknown version ", version, " of ggjt, expected 1 to 3")));
  }
  EXPECT_THAT(ErrorOf(ValidFile("fmgg", 2)), HasSubstr("unknown version 2 of ggmf, expected 1"));
  for (const uint32_t type : {19U, 999U, 2019U, 3000U, 0xFFFFFFFFU}) {
    GgmlBytes content = ValidFile();
    content.file_type = type;
    EXPECT_THAT(ErrorOf(content), HasSubstr(absl::StrCat("unknown ftype ", type)));
  }
}

TEST(GgmlHostile, VocabularySizes) {
  const std::string bytes = ValidFile().Build();
  constexpr size_t kCount = 8, kFirstLength = 8 + 7 * 4;
  for (const uint32_t count : {0x7FFFFFFFU, 0x80000000U, 0xFFFFFFFFU}) {
    std::string mutated = bytes;
    mutated.replace(kCount, 4, Le(count));
    EXPECT_THAT(ErrorOf(mutated), HasSubstr(absl::StrCat("n_vocab ", count, " exceeds")));
    mutated = bytes;
    mutated.replace(kFirstLength, 4, Le(count));
    EXPECT_THAT(ErrorOf(mutated), AllOf(HasSubstr("token 0"), HasSubstr("exceeds the limit")));
  }
}

TEST(GgmlHostile, TensorRecords) {
  EXPECT_THAT(ErrorOfTensor({"t", {}, 0, ""}), HasSubstr("0 dimensions, expected 1 or 2"));
  EXPECT_THAT(ErrorOfTensor({"t", {1, 1, 1}, 0, "abcd"}), HasSubstr("has 3 dimensions"));
  EXPECT_THAT(ErrorOfTensor({"t", {0}, 0, ""}), HasSubstr("dimension 0 is 0"));
  EXPECT_THAT(ErrorOfTensor({"t", {1, 0x80000000U}, 0, ""}),
              HasSubstr("dimension 1 is 2147483648, expected 1 to 2147483647"));
  EXPECT_THAT(ErrorOfTensor({"t", {0x7FFFFFFFU, 0x7FFFFFFFU}, 0, ""}),
              AllOf(HasSubstr("tensor 't'"), testing::ContainsRegex("overflows|end of file")));
  EXPECT_THAT(ErrorOfTensor({"", {1}, 0, "abcd"}), HasSubstr("the name is empty"));
  EXPECT_THAT(ErrorOfTensor({std::string("a\0b", 3), {1}, 0, "abcd"}), HasSubstr("a NUL"));
  EXPECT_THAT(ErrorOfTensor({std::string(64, 'x'), {1}, 0, "abcd"}),
              HasSubstr("exceeds the limit of 63"));
  for (const uint32_t type : {4U, 5U, 9U, 15U, 30U, 0xFFFFFFFFU}) {
    EXPECT_THAT(ErrorOfTensor({"t", {32}, type, std::string(128, 'x')}),
                HasSubstr(absl::StrCat("unknown tensor type ", type)));
  }
  EXPECT_THAT(ErrorOfTensor({"t", {33}, 2, std::string(36, 'x')}),
              HasSubstr("no multiple of the block size 32"));
  EXPECT_THAT(ErrorOfTensor({"norm.weight", {1}, 0, "abcd"}), HasSubstr("duplicate tensor"));
}

TEST(GgmlHostile, MissingTensorsAreNamedAsTheFileWouldHaveThem) {
  GgmlBytes content = ValidFile();
  content.tensors.pop_back();
  EXPECT_THAT(ErrorOf(content), HasSubstr("'layers.0.feed_forward.w1.weight' is missing"));
  content.tensors.pop_back();
  EXPECT_THAT(ErrorOf(content), HasSubstr("'tok_embeddings.weight' is missing"));
}

// Through the file system, and whichever reader the first bytes ask for.
class OpenFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = absl::StrCat(testing::TempDir(), "sluice_ggml.", getpid(), ".bin");
  }
  void TearDown() override { std::filesystem::remove(path_); }
  void Put(absl::string_view content) const {
    std::ofstream(path_, std::ios::binary)
        .write(content.data(), static_cast<std::streamsize>(content.size()));
  }
  std::string Error(const FileOptions& options = {}) const {
    return std::string(OpenModelFile(path_, options).status().message());
  }

  std::string path_;
};

TEST_F(OpenFileTest, FindsTheFormatByTheMagic) {
  for (const GgmlBytes& content : FilesOfAllVersions()) {
    Put(content.Build());
    const auto file = OpenModelFile(path_);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_THAT((*file)->format(), HasSubstr("gg"));
  }
  ASSERT_EQ(GgufWriter().Write(path_), absl::OkStatus());
  const auto file = OpenModelFile(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->format(), "GGUF 3");
  EXPECT_THAT(Error({.gqa = 8}), AllOf(HasSubstr(path_), HasSubstr("gqa 8 was given, but a GGUF")));
}

TEST_F(OpenFileTest, SaysWhatAFileIsThatIsNoModel) {
  Put("This is text");
  EXPECT_THAT(Error(),
              AllOf(HasSubstr(path_), HasSubstr("not a model file: it is text without a "
                                                "known magic; it begins with 'This is text'")));
  Put("GG");
  EXPECT_THAT(Error(), HasSubstr("begins with 'GG'"));
  Put("graph g\n");
  EXPECT_THAT(Error(), HasSubstr("it is a graph in text form: `sluice opt`"));
  Put("");
  EXPECT_THAT(Error(), HasSubstr("the file is empty"));
}

TEST_F(OpenFileTest, AShrunkFileIsNoticed) {
  Put(ValidFile().Build());
  const auto file = OpenModelFile(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->CheckNotShrunk(), absl::OkStatus());
  std::filesystem::resize_file(path_, 10);
  EXPECT_EQ((*file)->CheckNotShrunk().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace sluice
