// The table of fields: what is refused, what passes, what is said of unknown names, and that
// docs/serve.md tells of the same fields.
#include "tools/server/request_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tools/server/api_error.h"

namespace sluice::server {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr FieldObjects kObjects[] = {
    kChatBody,      kCompletionBody, kEmbeddingBody,     kTokenizeBody, kDetokenizeBody,
    kStreamOptions, kResponseFormat, kStructuredOutputs, kMessage,      kContentPart};

absl::StatusOr<UnknownFields> Check(FieldObjects object, const std::string& text) {
  return CheckFields(Json::parse(text), object);
}

std::string UnknownIn(FieldObjects object, const std::string& text) {
  const auto unknown = Check(object, text);
  EXPECT_TRUE(unknown.ok()) << unknown.status();
  return unknown.ok() ? unknown->text : "";
}

void ExpectRefused(FieldObjects object, const Json& body, const std::string& param) {
  const auto unknown = CheckFields(body, object);
  ASSERT_FALSE(unknown.ok()) << body;
  EXPECT_EQ(ParamOf(unknown.status()), param) << body;
  EXPECT_THAT(std::string(unknown.status().message()),
              AllOf(StartsWith(param + " is "), HasSubstr("not supported, expected none")));
  EXPECT_THAT(ErrorBody(unknown.status()), HasSubstr(R"("code":"unsupported_parameter")"));
}

TEST(RequestFields, AreInTheTableOnceForEachObject) {
  for (const FieldObjects object : kObjects) {
    std::set<std::string> names;
    for (const RequestField& field : RequestFields()) {
      if ((field.objects & object) == 0) continue;
      EXPECT_TRUE(names.insert(field.name).second) << field.name;
    }
    EXPECT_FALSE(names.empty());
  }
}

TEST(RequestFields, DoWhatTheirRowSays) {
  for (const FieldObjects object : kObjects) {
    for (const RequestField& field : RequestFields()) {
      if ((field.objects & object) == 0) continue;
      SCOPED_TRACE(field.name);
      std::vector<Json> harmless = {nullptr, "", Json::array(), Json::object()};
      const Json neutral = Json::parse(absl::StrCat("[", field.neutral, "]"));
      harmless.insert(harmless.end(), neutral.begin(), neutral.end());
      if (field.kind == FieldKind::kUnsupported) {
        for (const Json& value : {Json("other"), Json(7)}) {
          ExpectRefused(object, Json{{field.name, value}}, field.name);
        }
      } else {
        harmless.insert(harmless.end(), {"other", 7, true});
        EXPECT_STREQ(field.neutral, "");
        EXPECT_STREQ(field.instead, "");
      }
      for (const Json& value : harmless) {
        EXPECT_EQ(UnknownIn(object, Json{{field.name, value}}.dump()), "");
      }
    }
  }
}

// Those that were once dropped without a word, though they change the answer.
TEST(RequestFields, NoneThatChangesTheAnswerIsDropped) {
  for (const char* const body :
       {R"({"grammar": "root ::= 'a'"})",
        R"({"guided_regex": "a+"})",
        R"({"guided_grammar": "a"})",
        R"({"structured_outputs": {"regex": "a+"}})",
        R"({"chat_template_kwargs": {"a": 1}})",
        R"({"enable_thinking": false})",
        R"({"continue_final_message": true})",
        R"({"add_generation_prompt": false})",
        R"({"min_tokens": 3})",
        R"({"bad_words": ["a"]})",
        R"({"mirostat": 2})",
        R"({"dry_multiplier": 0.5})",
        R"({"xtc_probability": 0.5})",
        R"({"dynatemp_range": 1})",
        R"({"reasoning_effort": "high"})",
        R"({"tool_choice": "required"})",
        R"({"tools": [{"type": "function"}]})",
        R"({"options": {"num_ctx": 4096}})",
        R"({"think": true})",
        R"({"messages": [{"role": "user", "content": "a"}, {"tool_calls": [1]}]})",
        R"({"messages": [{"content": [{"type": "image_url", "image_url": {"url": "a"}}]}]})"}) {
    EXPECT_FALSE(Check(kChatBody, body).ok()) << body;
  }
  // Values that change nothing, as clients send them with everything else.
  EXPECT_EQ(UnknownIn(kChatBody, R"({"mirostat": 0, "mirostat_tau": 5, "dry_multiplier": 0.0,
      "dry_base": 1.75, "xtc_probability": 0, "length_penalty": 1.0, "tool_choice": "auto",
      "tools": [], "modalities": ["text"], "skip_special_tokens": true, "min_tokens": 0,
      "verbosity": "medium", "service_tier": "auto", "store": true, "stop_token_ids": []})"),
            "");
}

TEST(RequestFields, ErrorsNameThePlace) {
  const auto status = Check(kChatBody, R"({"messages": [{"content": "a"}, {"content":
      [{"type": "text"}, {"type": "file", "file": {"id": 1}}]}]})")
                          .status();
  EXPECT_EQ(ParamOf(status), "messages[1].content[1].file");
  EXPECT_EQ(ParamOf(Check(kChatBody, R"({"mirostat": 2})").status()), "mirostat");
  EXPECT_THAT(std::string(Check(kChatBody, R"({"mirostat": 2})").status().message()),
              StartsWith("mirostat is 2, which is not supported, expected none or 0: there are "));
}

TEST(RequestFields, UnknownOnesAreNamedWithTheNearest) {
  EXPECT_EQ(UnknownIn(kChatBody, R"({"tempperature": 1, "messages": [], "zzz": 1})"),
            "unknown fields: tempperature (did you mean 'temperature'?), zzz");
  EXPECT_EQ(UnknownIn(kChatBody, R"({"stream_options": {"include_usge": true}})"),
            "unknown fields: stream_options.include_usge (did you mean 'include_usage'?)");
  // One mention for all messages; parts of content, too.
  EXPECT_EQ(UnknownIn(kChatBody, R"({"messages": [{"colour": 1}, {"colour": 2},
      {"content": [{"type": "text", "txt": "a"}]}]})"),
            "unknown fields: messages[].colour, messages[].content[].txt (did you mean 'text'?)");
  // Known, but not of this route.
  EXPECT_EQ(UnknownIn(kCompletionBody, R"({"messages": []})"), "unknown fields: messages");
  EXPECT_EQ(UnknownIn(kEmbeddingBody, R"({"input": "a", "temperature": 1})"),
            "unknown fields: temperature");
  EXPECT_EQ(UnknownIn(kTokenizeBody, R"({"content": "a", "add_specal": true})"),
            "unknown fields: add_specal (did you mean 'add_special'?)");
  EXPECT_EQ(UnknownIn(kDetokenizeBody, R"({"tokens": [], "token": 1})"),
            "unknown fields: token (did you mean 'tokens'?)");
  // Objects where none are expected are for their readers to refuse.
  EXPECT_EQ(UnknownIn(kChatBody, R"({"messages": 5, "stream_options": "a"})"), "");
}

TEST(RequestFields, WhatIsSaidOfUnknownOnesFitsIntoAHeader) {
  Json body = {{"a\r\nSet-Cookie: b", 1}, {"\xC3\xA9", 2}, {std::string(100000, 'x'), 3}};
  for (int i = 0; i < 1000; ++i) body[absl::StrCat("z", i)] = i;
  const auto unknown = CheckFields(body, kChatBody);
  ASSERT_TRUE(unknown.ok());
  EXPECT_LT(unknown->text.size(), 1000);
  EXPECT_THAT(unknown->text, AllOf(HasSubstr("a??Set-Cookie: b"), HasSubstr(" and others")));
  EXPECT_TRUE(std::all_of(unknown->text.begin(), unknown->text.end(),
                          [](char c) { return c >= ' ' && c <= '~'; }));
}

// The names in the first column of the tables under a heading.
std::set<std::string> NamesInDocs(const std::string& heading) {
  std::ifstream file(absl::StrCat(SLUICE_SOURCE_DIR, "/docs/serve.md"));
  std::stringstream text;
  text << file.rdbuf();
  std::set<std::string> names;
  bool is_inside = false;
  const std::vector<std::string> lines = absl::StrSplit(text.str(), '\n');
  for (const std::string& line : lines) {
    if (absl::StartsWith(line, "#")) is_inside = line == heading;
    if (!is_inside || !absl::StartsWith(line, "| `")) continue;
    const std::vector<std::string> cells = absl::StrSplit(line, " | ");
    const std::vector<std::string> parts = absl::StrSplit(cells[0], '`');
    for (size_t i = 1; i < parts.size(); i += 2) names.insert(parts[i]);
  }
  return names;
}

TEST(RequestFields, AreThoseOfTheDocs) {
  const auto names_of = [](FieldKind kind) {
    std::set<std::string> names;
    for (const FieldObjects object : kObjects) {
      for (const RequestField& field : RequestFields()) {
        if (field.kind != kind || (field.objects & object) == 0) continue;
        names.insert(absl::StrCat(PathOf(object), field.name));
      }
    }
    return names;
  };
  EXPECT_EQ(NamesInDocs("### Fields"), names_of(FieldKind::kActs));
  EXPECT_EQ(NamesInDocs("#### Fields that make no difference"), names_of(FieldKind::kHarmless));
  EXPECT_EQ(NamesInDocs("#### Fields that are refused"), names_of(FieldKind::kUnsupported));
}

}  // namespace
}  // namespace sluice::server
