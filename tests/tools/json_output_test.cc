// `sluice run` with --json-schema and --json, as a user meets it. The embedded model knows nothing
// of JSON: what it writes is JSON because it can write nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/support/program.h"

namespace sluice {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

constexpr absl::string_view kPrompt = "Once upon a time";
constexpr absl::string_view kAnimal =
    R"({"type": "object", "properties": {"name": {"type": "string", "minLength": 1,
        "maxLength": 12}, "age": {"type": "integer"}, "kind": {"enum": ["fox", "owl", null]},
        "friends": {"type": "array", "items": {"type": "string", "maxLength": 8},
        "minItems": 1, "maxItems": 2}}, "required": ["name", "kind", "friends"]})";

struct Outcome {
  int exit_code;
  std::string text, errors;  // the text without the prompt
};

Outcome RunSluice(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"run", "-t", "1", "-p", std::string(kPrompt)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  Program program(arguments);
  const int exit_code = program.Finish();
  std::string text = program.output();
  if (absl::StartsWith(text, kPrompt)) text.erase(0, kPrompt.size());
  return {exit_code, text, program.errors()};
}

Json JsonOf(const Outcome& outcome) {
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
  const Json json = Json::parse(outcome.text, nullptr, /*allow_exceptions=*/false);
  EXPECT_FALSE(json.is_discarded()) << outcome.text;
  return json;
}

void ExpectAnimal(const Json& json) {
  ASSERT_TRUE(json.is_object());
  EXPECT_THAT(json.at("name").get<std::string>().size(),
              testing::AllOf(testing::Ge(1), testing::Le(48)));
  EXPECT_TRUE(json.at("kind") == "fox" || json.at("kind") == "owl" || json.at("kind").is_null());
  EXPECT_TRUE(!json.contains("age") || json.at("age").is_number_integer());
  EXPECT_THAT(json.at("friends").size(), testing::AllOf(testing::Ge(1), testing::Le(2)));
}

TEST(JsonOutput, FitsTheSchema) {
  for (const char* temperature : {"0", "1"}) {
    for (const char* seed : {"1", "2", "3"}) {
      ExpectAnimal(JsonOf(RunSluice({"--json-schema", std::string(kAnimal), "--temp", temperature,
                                     "-s", seed, "-n", "200"})));
      const Json list = JsonOf(RunSluice({"-j", R"({"type": "array", "minItems": 3, "maxItems": 3,
                                              "items": {"type": ["boolean", "null"]}})",
                                          "--temp", temperature, "-s", seed}));
      EXPECT_EQ(list.size(), 3);
    }
  }
}

TEST(JsonOutput, DraftsGiveTheSame) {
  const std::vector<std::string> arguments = {"-j", std::string(kAnimal), "--temp", "1", "-s", "4"};
  std::vector<std::string> drafted = arguments;
  drafted.insert(drafted.end(), {"--draft-ngram", "1", "--draft-max", "4"});
  const Outcome plain = RunSluice(arguments), outcome = RunSluice(drafted);
  ExpectAnimal(JsonOf(plain));
  EXPECT_EQ(outcome.text, plain.text);
  EXPECT_THAT(outcome.errors, HasSubstr("drafted tokens accepted"));
}

TEST(JsonOutput, AnyObjectIsABeginningWhereItIsCutOff) {
  const Outcome outcome = RunSluice({"--json", "--temp", "0", "-n", "20"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_TRUE(absl::StartsWith(outcome.text, "{")) << outcome.text;
  EXPECT_THAT(outcome.errors, HasSubstr("token limit reached"));
}

TEST(JsonOutput, ReadsTheSchemaFromAFile) {
  const std::string path =
      absl::StrCat(testing::TempDir(), "/json_output_test.", static_cast<int64_t>(getpid()));
  std::ofstream(path) << R"({"const": {"a": [1, "é"]}})";
  EXPECT_EQ(JsonOf(RunSluice({"--json-schema", path})), Json::parse(R"({"a": [1, "é"]})"));
  std::filesystem::remove(path);
}

TEST(JsonOutput, SaysWhatIsWrongWithASchema) {
  const auto error_of = [](const std::string& schema) {
    const Outcome outcome = RunSluice({"--json-schema", schema});
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_EQ(outcome.text, "");
    return outcome.errors;
  };
  EXPECT_THAT(error_of("{"), HasSubstr("--json-schema:1:2: unexpected end in JSON"));
  EXPECT_THAT(error_of("{\n \"type\": object\n}"), HasSubstr("--json-schema:2:10: unexpected"));
  EXPECT_THAT(error_of("/no/such/file"), HasSubstr("cannot read /no/such/file"));
  EXPECT_THAT(error_of(R"({"items": {"pattern": "a"}})"),
              HasSubstr("#/items: the keyword 'pattern'"));
}

}  // namespace
}  // namespace sluice
