// Models that are split into several files.
#include "models/files/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "models/files/gguf.h"
#include "models/files/gguf_writer.h"
#include "models/model.h"
#include "tests/support/paths.h"

namespace sluice {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class ModelFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(testing::TempDir(), "sluice_parts.", getpid());
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(int part, int count) const {
    return absl::StrFormat("%s/m-%05d-of-%05d.gguf", folder_, part + 1, count);
  }
  // A part with one tensor, t<tensor>.
  void Write(const std::string& path, uint32_t part, uint32_t count, int tensor,
             uint32_t total = 0) const {
    GgufWriter writer;
    writer.SetU32("split.no", part);
    writer.SetU32("split.count", count);
    if (total > 0) writer.SetU32("split.tensors.count", total);
    writer.AddTensor(absl::StrCat("t", tensor), DType::kF32, {8});
    ASSERT_TRUE(writer.Write(path).ok());
  }
  void WriteThree() const {
    for (int part = 0; part < 3; ++part) {
      Write(Path(part, 3), static_cast<uint32_t>(part), 3, part, part == 0 ? 3 : 0);
    }
  }
  std::string Error(const std::string& path) const {
    return std::string(OpenModelFiles(path).status().message());
  }

  std::string folder_;
};

TEST_F(ModelFilesTest, OpensASingleFile) {
  for (const uint32_t count : {0u, 1u}) {  // 0: without the keys
    GgufWriter writer;
    if (count > 0) writer.SetU32("split.count", count);
    ASSERT_TRUE(writer.Write(folder_ + "/one.gguf").ok());
    const absl::StatusOr<ModelFiles> files = OpenModelFiles(folder_ + "/one.gguf");
    ASSERT_TRUE(files.ok()) << files.status();
    EXPECT_EQ(files->size(), 1);
  }
}

TEST_F(ModelFilesTest, OpensAllParts) {
  WriteThree();
  const absl::StatusOr<ModelFiles> files = OpenModelFiles(Path(0, 3));
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 3);
  for (size_t part = 0; part < 3; ++part) {
    EXPECT_EQ((*files)[part]->tensors()[0].name, absl::StrCat("t", part));
  }
}

TEST_F(ModelFilesTest, WantsTheFirstPartByItsName) {
  WriteThree();
  EXPECT_THAT(Error(Path(1, 3)),
              HasSubstr("00002-of-00003.gguf: a model in 3 parts: expected the name of the first, "
                        "which ends in '-00001-of-00003.gguf'"));
  Write(folder_ + "/renamed.gguf", 0, 3, 0);
  EXPECT_THAT(Error(folder_ + "/renamed.gguf"), HasSubstr("expected the name of the first"));
}

TEST_F(ModelFilesTest, NamesTheMissingPart) {
  WriteThree();
  std::filesystem::remove(Path(2, 3));
  EXPECT_THAT(Error(Path(0, 3)), HasSubstr(Path(2, 3)));
}

TEST_F(ModelFilesTest, RejectsPartsOfAnotherSplit) {
  WriteThree();
  Write(Path(1, 3), 2, 3, 1);
  EXPECT_THAT(Error(Path(0, 3)),
              EndsWith("m-00002-of-00003.gguf: key 'split.no': expected 1, got 2"));
  Write(Path(1, 3), 1, 4, 1);
  EXPECT_THAT(Error(Path(0, 3)),
              EndsWith("m-00002-of-00003.gguf: key 'split.count': expected 3, got 4"));
  ASSERT_TRUE(GgufWriter().Write(Path(1, 3)).ok());
  EXPECT_THAT(Error(Path(0, 3)),
              EndsWith("m-00002-of-00003.gguf: key 'split.no': expected 1, got none"));
}

TEST_F(ModelFilesTest, RejectsBadCounts) {
  for (const uint32_t count : {0u, 100000u}) {
    Write(Path(0, 3), 0, count, 0);
    EXPECT_THAT(Error(Path(0, 3)),
                EndsWith(absl::StrCat("key 'split.count': expected 1 to 99999, got ", count)));
  }
}

TEST_F(ModelFilesTest, RejectsMissingAndRepeatedTensors) {
  WriteThree();
  Write(Path(0, 3), 0, 3, 0, /*total=*/4);
  EXPECT_THAT(Error(Path(0, 3)), EndsWith("key 'split.tensors.count': expected 3, the number of "
                                          "tensors in all parts, got 4"));
  Write(Path(2, 3), 2, 3, 1);
  EXPECT_THAT(Error(Path(0, 3)),
              EndsWith("m-00003-of-00003.gguf: tensor 't1': already in an earlier part"));
}

TEST_F(ModelFilesTest, ASplitModelHasTheWeightsOfTheWhole) {
  constexpr uint32_t kParts = 3;
  const std::string whole_path = TestDataDir() + "/models/llama.Q4_0.gguf";
  const auto file = GgufFile::Open(whole_path);
  ASSERT_TRUE(file.ok()) << file.status();
  for (uint32_t part = 0; part < kParts; ++part) {
    GgufWriter writer;
    writer.SetU32("split.no", part);
    writer.SetU32("split.count", kParts);
    for (const auto& [key, value] : (*file)->metadata()) {
      if (part == 0) writer.SetValue(key, value);
    }
    for (size_t i = part; i < (*file)->tensors().size(); i += kParts) {
      const StoredTensor& tensor = (*file)->tensors()[i];
      writer.AddTensor(tensor.name, tensor.dtype, tensor.shape,
                       [data = (*file)->Data(tensor)](absl::Span<std::byte> out) {
                         std::copy(data.begin(), data.end(), out.begin());
                         return absl::OkStatus();
                       });
    }
    ASSERT_EQ(writer.Write(Path(static_cast<int>(part), kParts)), absl::OkStatus());
  }
  const auto whole = Model::Load(whole_path);
  const auto split = Model::Load(Path(0, kParts));
  ASSERT_TRUE(whole.ok() && split.ok()) << whole.status() << split.status();
  EXPECT_EQ((*split)->warnings(), (*whole)->warnings());
  ASSERT_EQ((*split)->weights().size(), (*whole)->weights().size());
  for (const auto& [name, pieces] : (*whole)->weights()) {
    ASSERT_TRUE((*split)->weights().contains(name)) << name;
    EXPECT_TRUE((*split)->weights().at(name) == pieces) << name;
  }
}

}  // namespace
}  // namespace sluice
