// What files are, by their first bytes.
#include "models/files/describe_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

std::string Bytes(absl::string_view text) { return std::string(text); }

TEST(DescribeFile, KnowsTheKindAndWhatTakesIt) {
  EXPECT_THAT(DescribeFile("GGUF\x03"),
              AllOf(StartsWith("is a GGUF file"), HasSubstr("`sluice run`")));
  EXPECT_THAT(DescribeFile("tjgg"), StartsWith("is a ggjt file"));
  const auto is_graph = AllOf(StartsWith("is a graph"), HasSubstr("`sluice opt`"));
  EXPECT_THAT(DescribeFile("\n graph g {a=1}\n"), is_graph);
  EXPECT_THAT(DescribeFile("// a note\ngraph g\n"), is_graph);
  EXPECT_THAT(DescribeFile("name: \"g\"\n"), is_graph);
  EXPECT_THAT(DescribeFile("{\n \"name\": \"g\", \"inputs\": ["), is_graph);
  EXPECT_THAT(DescribeFile("\n\x05llama\x12\x08"), is_graph);
}

TEST(DescribeFile, KnowsWhatOftenStandsForAModel) {
  EXPECT_EQ(DescribeFile(""), "is empty");
  EXPECT_EQ(DescribeFile(" \n"), "is empty");
  EXPECT_THAT(DescribeFile("version https://git-lfs.github.com/spec/v1\n"),
              HasSubstr("git lfs pull"));
  EXPECT_THAT(DescribeFile("<!DOCTYPE html>"), StartsWith("is a web page"));
  EXPECT_THAT(DescribeFile("  <HTML>"), StartsWith("is a web page"));
  EXPECT_THAT(DescribeFile("PK\x03\x04..."), HasSubstr("convert_hf_to_gguf.py"));
  EXPECT_THAT(DescribeFile("\x80\x02}q"), HasSubstr("convert_hf_to_gguf.py"));
  EXPECT_THAT(DescribeFile(Bytes({"\x40\x01\0\0\0\0\0\0{\"__meta", 16})),
              StartsWith("is a safetensors file: convert_hf"));
  EXPECT_THAT(DescribeFile("\x1f\x8b\x08"), HasSubstr("unpack it"));
  EXPECT_THAT(DescribeFile("{\"architectures\": []}"), StartsWith("is JSON, with neither"));
}

TEST(DescribeFile, ShowsTheStartOfTheRest) {
  EXPECT_THAT(DescribeFile("\n Some text that is longer than its second byte says, which is 32"),
              StartsWith("is text without a known magic; it begins with 'Some text"));
  EXPECT_EQ(DescribeFile("Entry not found\nmore"),
            "is text without a known magic; it begins with 'Entry not found'");
  EXPECT_EQ(DescribeFile("\x1B[2J\x01\x02"), "has the magic '\\x1B[2J', of no known kind of file");
  EXPECT_THAT(DescribeFile(std::string(5000, 'a')), EndsWith("'" + std::string(40, 'a') + "'"));
}

}  // namespace
}  // namespace sluice
