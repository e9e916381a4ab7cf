// Copies of model files with other metadata, and what `sluice gguf` says of a file.
#include "models/gguf_edit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "models/files/gguf_writer.h"
#include "models/model.h"
#include "tests/support/paths.h"
#include "tools/inspect/gguf_report.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class GgufEdit : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(folder_);
    GgufWriter writer;
    writer.SetString("general.name", "before");
    writer.SetU32("a.count", 7);
    writer.SetF32("a.factor", 0.5f);
    writer.SetBool("a.flag", false);
    writer.SetStrings("a.list", {"one", "two", "3", "4", "5", "6", "seven"});
    const auto fill = [](absl::Span<std::byte> data) {
      for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i);
      return absl::OkStatus();
    };
    writer.AddTensor("first", DType::kF32, {3, 5}, fill);
    writer.AddTensor("second", DType::kQ8_0, {2, 32}, fill);
    ASSERT_TRUE(writer.Write(source_, {.alignment = 64}).ok());
    file_ = GgufFile::Open(source_).value();
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string Path(absl::string_view name) const { return absl::StrCat(folder_, "/", name); }

  static std::vector<MetadataEdit> Edits(const std::vector<std::string>& texts) {
    std::vector<MetadataEdit> edits;
    for (const std::string& text : texts) edits.push_back(ParseMetadataEdit(text).value());
    return edits;
  }

  std::string ErrorOf(const std::vector<MetadataEdit>& edits) {
    const absl::Status status = WriteEdited(*file_, edits, Path("out.gguf"));
    EXPECT_FALSE(fs::exists(Path("out.gguf")));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "something was left";
    return std::string(status.message());
  }

  const std::string folder_ = absl::StrCat(testing::TempDir(), "sluice.gguf_edit.", getpid());
  const std::string source_ = Path("in.gguf");
  std::unique_ptr<GgufFile> file_;
};

TEST_F(GgufEdit, ChangesKeysAndNothingElse) {
  std::vector<MetadataEdit> edits =
      Edits({"general.name=a=b", "a.count=4294967295", "a.flag=true", "a.new:i8=-128",
             "a.factor:f64=0.1", "a.big:u64=18446744073709551615"});
  edits.push_back({.key = "a.list"});
  const absl::Status status = WriteEdited(*file_, edits, Path("out.gguf"));
  ASSERT_TRUE(status.ok()) << status;
  const auto copy = GgufFile::Open(Path("out.gguf")).value();

  std::vector<std::string> keys;
  for (const auto& [key, value] : copy->metadata()) keys.emplace_back(key);
  EXPECT_THAT(keys, testing::ElementsAre("general.name", "a.count", "a.factor", "a.flag", "a.new",
                                         "a.big", "general.alignment"));
  EXPECT_EQ(copy->Find("general.name")->AsString().value(), "a=b");
  EXPECT_EQ(copy->Find("a.count")->AsInt().value(), 4294967295);
  EXPECT_EQ(copy->Find("a.count")->type(), MetadataType::kU32);
  EXPECT_EQ(copy->Find("a.factor")->type(), MetadataType::kF64);
  EXPECT_EQ(copy->Find("a.factor")->AsFloat().value(), 0.1);
  EXPECT_TRUE(copy->Find("a.flag")->AsBool().value());
  EXPECT_EQ(copy->Find("a.new")->AsInt().value(), -128);
  EXPECT_EQ(copy->alignment(), 64);
  ASSERT_EQ(copy->tensors().size(), 2);
  for (size_t i = 0; i < 2; ++i) {
    const StoredTensor &before = file_->tensors()[i], &after = copy->tensors()[i];
    EXPECT_EQ(after.name, before.name);
    EXPECT_EQ(after.dtype, before.dtype);
    EXPECT_EQ(after.shape, before.shape);
    EXPECT_EQ(copy->Data(after), file_->Data(before));
  }
}

TEST_F(GgufEdit, ErrorsNameTheKeyAndLeaveNothing) {
  EXPECT_THAT(ErrorOf(Edits({"a.cuont=1"})), HasSubstr("'a.cuont': the file has none; to add it"));
  EXPECT_THAT(ErrorOf({{.key = "a.cuont"}}), HasSubstr("'a.cuont': the file has none to remove"));
  EXPECT_THAT(ErrorOf(Edits({"a.count=1", "a.count=2"})), HasSubstr("'a.count': given twice"));
  EXPECT_THAT(ErrorOf(Edits({"a.count=-1"})), HasSubstr("'-1' is no value of type u32"));
  EXPECT_THAT(ErrorOf(Edits({"a.count=4294967296"})), HasSubstr("no value of type u32"));
  EXPECT_THAT(ErrorOf(Edits({"a.flag=1"})), HasSubstr("'1' is no value of type bool"));
  EXPECT_THAT(ErrorOf(Edits({"a.factor=x"})), HasSubstr("'x' is no value of type f32"));
  for (const char* text : {"1e39", "1e999", "nan", "inf", "1e-60", ""}) {
    EXPECT_THAT(ErrorOf(Edits({absl::StrCat("a.factor=", text)})),
                HasSubstr("no value of type f32"));
  }
  EXPECT_THAT(ErrorOf(Edits({"new:f64=1e999"})), HasSubstr("no value of type f64"));
  EXPECT_THAT(ErrorOf({{.key = "a.count", .value = "1"}, {.key = "a.count"}}),
              HasSubstr("'a.count': given twice"));
  EXPECT_THAT(ErrorOf(Edits({"a.list=x"})), HasSubstr("'a.list': arrays can be removed"));
  EXPECT_THAT(ErrorOf(Edits({"general.alignment=32"})), HasSubstr("the layout of the file"));
  EXPECT_THAT(WriteEdited(*file_, {}, source_).message(), HasSubstr("is the input, too"));
  EXPECT_THAT(ParseMetadataEdit("a.count").status().message(), HasSubstr("expected KEY=VALUE"));
  EXPECT_THAT(ParseMetadataEdit("a:u33=1").status().message(), HasSubstr("unknown type 'u33'"));
}

TEST_F(GgufEdit, AModelThatLoadsMustStillLoad) {
  file_ = GgufFile::Open(TestDataDir() + "/models/llama-yarn-attn.F32.gguf").value();
  fs::remove(source_);
  std::ofstream(Path("other")) << "counts as the one file that ErrorOf() expects";
  EXPECT_THAT(ErrorOf(Edits({"llama.block_count=99"})), HasSubstr("would not load any more"));
  const auto edits = Edits({"llama.context_length=64"});
  ASSERT_TRUE(WriteEdited(*file_, edits, Path("out.gguf")).ok());
  EXPECT_EQ(Model::Load(Path("out.gguf")).value()->config().context_length, 64);
}

TEST_F(GgufEdit, TextShortensArraysUnlessTold) {
  const std::string text = GgufText(*file_, false), full = GgufText(*file_, true);
  EXPECT_THAT(text, HasSubstr("a.count: u32 = 7\n"));
  EXPECT_THAT(text, HasSubstr("a.list: string[] = [7 string] one, two, 3, 4, 5, 6, ...\n"));
  EXPECT_THAT(full, HasSubstr("one, two, 3, 4, 5, 6, seven\n"));
  EXPECT_THAT(text, HasSubstr("2 tensors, 128 B"));
}

TEST_F(GgufEdit, JsonHasEveryKeyAndTensor) {
  const auto json = nlohmann::json::parse(GgufJson(*file_, true));
  EXPECT_EQ(json["alignment"], 64);
  ASSERT_EQ(json["metadata"].size(), file_->metadata().size());
  EXPECT_EQ(json["metadata"][0]["value"], "before");
  EXPECT_EQ(json["metadata"][4]["type"], "string[]");
  EXPECT_EQ(json["metadata"][4]["value"][6], "seven");
  EXPECT_EQ(json["tensors"][1]["name"], "second");
  EXPECT_EQ(json["tensors"][1]["type"], "q8_0");
  EXPECT_EQ(json["tensors"][1]["shape"], (std::vector<int>{2, 32}));
  EXPECT_EQ(json["tensors"][1]["offset"], file_->tensors()[1].offset);
  EXPECT_FALSE(nlohmann::json::parse(GgufJson(*file_, false))["metadata"][4].contains("value"));
}

}  // namespace
}  // namespace sluice
