// What clients may send, and what they are told where it is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/constraint/automaton.h"
#include "tools/server/answer_format.h"
#include "tools/server/api_error.h"
#include "tools/server/generation_request.h"
#include "tools/server/json_fields.h"
#include "tools/server/text_request.h"

namespace sluice::server {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

const RequestDefaults kDefaults = {.max_choices = 8};

absl::StatusOr<GenerationRequest> Completion(const std::string& text) {
  const absl::StatusOr<Json> body = ParseObject(text);
  if (!body.ok()) return body.status();
  return ParseCompletion(*body, kDefaults);
}

// A completion with `field` beside its prompt.
absl::StatusOr<GenerationRequest> With(const std::string& field) {
  return Completion(absl::StrCat(R"({"prompt": "Hi", )", field, "}"));
}

absl::StatusOr<GenerationRequest> ChatWith(const std::string& fields) {
  const absl::StatusOr<Json> body = ParseObject(absl::StrCat("{", fields, "}"));
  if (!body.ok()) return body.status();
  return ParseChat(*body, kDefaults);
}

std::string Text(const Prompt& prompt) { return std::get<std::string>(prompt); }
std::vector<int32_t> Tokens(const Prompt& prompt) { return std::get<std::vector<int32_t>>(prompt); }

void ExpectError(const absl::Status& status, const std::string& param, const std::string& message) {
  EXPECT_EQ(HttpCodeOf(status), 400) << status;
  EXPECT_EQ(ParamOf(status), param);
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
}

std::string Repeated(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

TEST(ParseObject, SaysWhatIsNoJson) {
  EXPECT_THAT(std::string(ParseObject("").status().message()), HasSubstr("no JSON"));
  EXPECT_THAT(std::string(ParseObject(R"({"a": )").status().message()), HasSubstr("column 7"));
  EXPECT_THAT(std::string(ParseObject("[1]").status().message()),
              HasSubstr("is [1], expected a JSON object"));
  EXPECT_FALSE(ParseObject(R"({"a": 1e999})").ok());
  EXPECT_FALSE(ParseObject(R"({"a": NaN})").ok());
  EXPECT_FALSE(ParseObject(R"({"a": "\ud800"})").ok());  // half of a surrogate pair
  EXPECT_FALSE(ParseObject("{\"a\": \"\xff\"}").ok());
  EXPECT_TRUE(ParseObject(R"({"a": "\ud83d\ude00"})").ok());
}

TEST(ParseObject, BoundsTheDepth) {
  const std::string deep =
      absl::StrCat(R"({"a": )", Repeated("[", 100000), Repeated("]", 100000), "}");
  EXPECT_THAT(std::string(ParseObject(deep).status().message()), HasSubstr("100001 levels"));
  EXPECT_TRUE(
      ParseObject(absl::StrCat(R"({"a": )", Repeated("[", 63), Repeated("]", 63), "}")).ok());
  // Brackets in strings do not count, and an escaped quote ends none.
  EXPECT_TRUE(ParseObject(absl::StrCat(R"({"a": "\")", Repeated("[", 1000), "\"}")).ok());
}

// Objects and arrays are values, too: a list of n in the body makes n + 2.
TEST(ParseObject, BoundsTheNumberOfValues) {
  const auto parse_list = [](int n) {
    return ParseObject(absl::StrCat(R"({"stop": ["x")", Repeated(R"(,"x")", n - 1), "]}")).status();
  };
  EXPECT_THAT(std::string(parse_list(1000000).message()),
              HasSubstr("1000002 values, expected 262144"));
  EXPECT_THAT(std::string(parse_list(262143).message()),
              HasSubstr("262145 values, expected 262144"));
  EXPECT_TRUE(parse_list(262142).ok());
  // Commas in strings do not count.
  EXPECT_TRUE(ParseObject(absl::StrCat(R"({"a": ")", Repeated(",", 300000), "\"}")).ok());
}

TEST(Completion, TakesAllFormsOfPrompts) {
  EXPECT_EQ(Text(Completion(R"({"prompt": "Hi"})")->prompts[0]), "Hi");
  const auto texts = Completion(R"({"prompt": ["a", "b"]})");
  ASSERT_TRUE(texts.ok());
  ASSERT_EQ(texts->prompts.size(), 2);
  EXPECT_EQ(Text(texts->prompts[1]), "b");
  EXPECT_THAT(Tokens(Completion(R"({"prompt": [1, 2]})")->prompts[0]), ElementsAre(1, 2));
  const auto lists = Completion(R"({"prompt": [[1], [2, 3]]})");
  ASSERT_TRUE(lists.ok());
  EXPECT_THAT(Tokens(lists->prompts[1]), ElementsAre(2, 3));
}

TEST(Completion, RefusesOtherPrompts) {
  ExpectError(Completion("{}").status(), "prompt", "prompt is missing, expected a text");
  ExpectError(Completion(R"({"prompt": null})").status(), "prompt", "missing");
  ExpectError(Completion(R"({"prompt": []})").status(), "prompt", "is [], expected");
  ExpectError(Completion(R"({"prompt": 7})").status(), "prompt", "is 7, expected a text");
  ExpectError(Completion(R"({"prompt": [1, -2]})").status(), "prompt[1]",
              "-2, expected a token id");
  ExpectError(Completion(R"({"prompt": [1, "a"]})").status(), "prompt[1]", "\"a\", expected");
  ExpectError(Completion(R"({"prompt": ["a", 1]})").status(), "prompt[1]", "is 1, expected");
  ExpectError(Completion(R"({"prompt": [[1], [2.5]]})").status(), "prompt[1][0]", "2.5");
  ExpectError(Completion(R"({"prompt": [4294967296]})").status(), "prompt[0]", "4294967296");
}

TEST(Completion, ReadsWhatItIsAskedFor) {
  const auto request = With(
      R"("max_tokens": 5, "temperature": 0, "top_p": 0.5, "top_k": 3, "min_p": 0, "seed": 7,
         "typical_p": 0.9, "repeat_penalty": 1.1, "frequency_penalty": 1, "presence_penalty": -1,
         "stop": ["a", "b"], "n": 2, "logprobs": 3, "stream": true, "user": "me", "model": "any",
         "stream_options": {"include_usage": true}, "return_progress": true,
         "sse_ping_interval": 3, "stop_token_ids": [4, 5], "logit_bias": {"7": -1.5, "8": 100})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->max_tokens, 5);
  EXPECT_EQ(request->sampling.temperature, 0);
  EXPECT_EQ(request->sampling.top_p, 0.5);
  EXPECT_EQ(request->sampling.top_k, 3);
  EXPECT_EQ(request->sampling.typical_p, 0.9);
  EXPECT_EQ(request->sampling.frequency_penalty, 1);
  EXPECT_EQ(request->sampling.presence_penalty, -1);
  EXPECT_EQ(request->sampling.seed, 7);
  EXPECT_TRUE(request->has_seed);
  EXPECT_THAT(request->stops, ElementsAre("a", "b"));
  EXPECT_EQ(request->choices, 2);
  EXPECT_TRUE(request->wants_logprobs);
  EXPECT_EQ(request->top_logprobs, 3);
  EXPECT_TRUE(request->stream);
  EXPECT_TRUE(request->include_usage);
  EXPECT_TRUE(request->tells_progress);
  EXPECT_EQ(request->ping, std::chrono::seconds(3));
  EXPECT_THAT(request->stop_tokens, ElementsAre(4, 5));
  EXPECT_THAT(request->sampling.logit_bias, ElementsAre(Pair(7, -1.5f), Pair(8, 100)));
}

// What clients send for "as much as there is", "off" and "none".
TEST(Completion, TakesValuesAsClientsMeanThem) {
  EXPECT_EQ(With(R"("max_tokens": -1)")->max_tokens, -1);
  EXPECT_EQ(With(R"("max_tokens": 0)")->max_tokens, 0);
  EXPECT_EQ(With(R"("max_tokens": 128.0)")->max_tokens, 128);
  EXPECT_EQ(With(R"("top_k": -1)")->sampling.top_k, 0);
  EXPECT_EQ(With(R"("top_k": 0)")->sampling.top_k, 0);
  EXPECT_EQ(With(R"("top_k": 2e1)")->sampling.top_k, 20);
  EXPECT_EQ(With(R"("top_p": 0)")->sampling.top_p, 0);
  EXPECT_TRUE(With(R"("stop": "")")->stops.empty());
  EXPECT_TRUE(With(R"("stop": [])")->stops.empty());
  EXPECT_THAT(With(R"("stop": ["", "a"])")->stops, ElementsAre("a"));
  EXPECT_THAT(Tokens(Completion(R"({"prompt": [1.0, 2]})")->prompts[0]), ElementsAre(1, 2));
  EXPECT_EQ(With(R"("sse_ping_interval": -1)")->ping, std::chrono::seconds(-1));
  EXPECT_FALSE(With(R"("sse_ping_interval": 0)")->ping.has_value());
}

TEST(Completion, TakesOtherNamesForTheSame) {
  EXPECT_EQ(With(R"("n_predict": 3)")->max_tokens, 3);
  EXPECT_EQ(With(R"("max_tokens": 4, "n_predict": 3)")->max_tokens, 4);
  EXPECT_EQ(With(R"("max_tokens": 4, "max_completion_tokens": 5)")->max_tokens, 5);
  EXPECT_EQ(With(R"("max_tokens": null, "n_predict": 3)")->max_tokens, 3);
  EXPECT_EQ(With(R"("repetition_penalty": 1.5)")->sampling.repeat_penalty, 1.5);
  EXPECT_EQ(With(R"("n_cmpl": 2)")->choices, 2);
  ExpectError(With(R"("repetition_penalty": -1)").status(), "repetition_penalty",
              "repetition_penalty is -1, expected more than 0");
  ExpectError(With(R"("n_predict": -2)").status(), "n_predict", "is -2");
  ExpectError(With(R"("n_cmpl": 9)").status(), "n_cmpl", "n_cmpl is 9 for 1 prompt");
}

TEST(Completion, ReadsBiasesInBothForms) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  EXPECT_THAT(With(R"("logit_bias": [[7, 1], [8, false]])")->sampling.logit_bias,
              ElementsAre(Pair(7, 1), Pair(8, kNever)));
  EXPECT_TRUE(With(R"("logit_bias": {})")->sampling.logit_bias.empty());
  ExpectError(With(R"("logit_bias": {"a": 1})").status(), "logit_bias", "is \"a\", expected token");
  ExpectError(With(R"("logit_bias": {"-1": 1})").status(), "logit_bias", "expected token ids");
  ExpectError(With(R"("logit_bias": {"5": 101})").status(), "logit_bias.5", "from -100 to 100");
  ExpectError(With(R"("logit_bias": {"5": true})").status(), "logit_bias.5", "is true");
  ExpectError(With(R"("logit_bias": [[1, 2, 3]])").status(), "logit_bias", "[TOKEN ID, BIAS]");
  ExpectError(With(R"("logit_bias": [1])").status(), "logit_bias", "[TOKEN ID, BIAS]");
  ExpectError(With(R"("logit_bias": 1)").status(), "logit_bias", "an object");
  ExpectError(With(R"("stop_token_ids": ["a"])").status(), "stop_token_ids[0]", "a token id");
}

TEST(Completion, TakesNullForWhatIsLeftOut) {
  const auto request = With(
      R"("max_tokens": null, "temperature": null, "stop": null, "n": null, "logprobs": null,
         "logit_bias": null, "suffix": null, "stream": null, "response_format": null, "seed": null)");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_FALSE(request->max_tokens.has_value());
  EXPECT_EQ(request->sampling.temperature, SamplerOptions().temperature);
  EXPECT_FALSE(request->has_seed);
  EXPECT_FALSE(request->wants_logprobs);
}

TEST(Completion, NamesTheFieldWhatItIsAndWhatWasExpected) {
  ExpectError(With(R"("temperature": "hot")").status(), "temperature",
              "temperature is \"hot\", expected a number");
  ExpectError(With(R"("temperature": -1)").status(), "temperature", "is -1, expected");
  ExpectError(With(R"("top_p": 1.5)").status(), "top_p", "is 1.5, expected 0 to 1");
  ExpectError(With(R"("top_k": -2)").status(), "top_k", "is -2, expected an integer from -1");
  ExpectError(With(R"("min_p": 2)").status(), "min_p", "is 2, expected 0 to 1");
  ExpectError(With(R"("frequency_penalty": 1e9)").status(), "frequency_penalty", "-100 to 100");
  ExpectError(With(R"("max_tokens": -5)").status(), "max_tokens", "is -5, expected an integer");
  ExpectError(With(R"("max_tokens": 1.5)").status(), "max_tokens", "is 1.5");
  ExpectError(With(R"("max_tokens": 18446744073709551615)").status(), "max_tokens", "1844674407");
  ExpectError(With(R"("n": 0)").status(), "n", "is 0, expected an integer from 1");
  ExpectError(With(R"("n": 9)").status(), "n", "is 9 for 1 prompt, expected at most 8");
  ExpectError(With(R"("stream": 1)").status(), "stream", "is 1, expected true or false");
  ExpectError(With(R"("stream_options": [])").status(), "stream_options", "an object");
  ExpectError(With(R"("stream_options": {"include_usage": 1})").status(),
              "stream_options.include_usage", "true or false");
  ExpectError(With(R"("seed": -2)").status(), "seed", "is -2");
  ExpectError(With(R"("logprobs": 21)").status(), "logprobs", "0 to 20");
  ExpectError(With(R"("model": 1)").status(), "model", "a string");
  ExpectError(With(R"("best_of": 3)").status(), "best_of", "is 3, expected an integer from 1 to 1");
  ExpectError(With(R"("echo": true, "logprobs": 0)").status(), "echo", "expected one of them");
}

// Of a body with these fields.
absl::StatusOr<std::shared_ptr<const Grammar>> FormOf(absl::string_view fields) {
  const std::string text = absl::StrCat("{", fields, "}");
  const auto body = ParseObject(text);
  EXPECT_TRUE(body.ok()) << body.status();
  return ReadAnswerFormat(*body, text);
}

absl::StatusOr<std::shared_ptr<const Grammar>> FormatOf(absl::string_view format) {
  return FormOf(absl::StrCat(R"("response_format": )", format));
}

// Whether the answer may be this text.
bool Takes(const absl::StatusOr<std::shared_ptr<const Grammar>>& grammar, absl::string_view text) {
  if (!grammar.ok() || *grammar == nullptr) {
    ADD_FAILURE() << grammar.status();
    return false;
  }
  Automaton automaton(*grammar);
  Automaton::State state = automaton.start();
  for (const char byte : text) state = automaton.Next(state, static_cast<uint8_t>(byte));
  return automaton.Accepts(state);
}

TEST(AnswerFormat, IsTextUnlessItIsJson) {
  EXPECT_EQ(FormatOf("null").value(), nullptr);
  EXPECT_EQ(FormatOf(R"({"type": "text"})").value(), nullptr);
  EXPECT_NE(FormatOf(R"({"type": "json_object"})").value(), nullptr);
  EXPECT_NE(FormatOf(R"({"type": "json_schema", "json_schema": {"name": "n", "strict": true,
                         "schema": {"type": "integer"}}})")
                .value(),
            nullptr);
}

// However a client writes it, a schema acts, and keeps its order.
TEST(AnswerFormat, TakesASchemaInEachOfItsSpellings) {
  const std::string schema = R"({"type": "object", "properties": {"b": {"const": 1},
                                 "a": {"const": 2}}, "required": ["b", "a"]})";
  const std::string text = Json(schema).dump();  // in quotes
  for (const std::string& fields :
       {absl::StrCat(R"("response_format": {"type": "json_schema", "json_schema": {"name": "n",
                        "schema": )",
                     schema, "}}"),
        absl::StrCat(R"("response_format": {"type": "json_schema", "schema": )", schema, "}"),
        absl::StrCat(R"("response_format": {"type": "json_schema", "json_schema": )", schema, "}"),
        absl::StrCat(R"("response_format": {"type": "json_object", "schema": )", schema, "}"),
        absl::StrCat(R"("response_format": {"type": "json", "value": )", schema, "}"),
        absl::StrCat(R"("response_format": {"json_schema": {"schema": )", schema, "}}"),
        absl::StrCat(R"("json_schema": )", schema), absl::StrCat(R"("guided_json": )", schema),
        absl::StrCat(R"("guided_json": )", text), absl::StrCat(R"("format": )", schema),
        absl::StrCat(R"("structured_outputs": {"json": )", schema, "}"),
        absl::StrCat(R"("structured_outputs": {"json": )", text, "}")}) {
    SCOPED_TRACE(fields);
    EXPECT_TRUE(Takes(FormOf(fields), R"({"b":1,"a":2})"));
    EXPECT_FALSE(Takes(FormOf(fields), R"({"a":2,"b":1})"));
    EXPECT_FALSE(Takes(FormOf(fields), "{}"));
  }
  for (const char* fields :
       {R"("format": "json")", R"("structured_outputs": {"json_object": true})",
        R"("response_format": {"type": "json_object", "schema": null})"}) {
    EXPECT_TRUE(Takes(FormOf(fields), "{}")) << fields;
    EXPECT_FALSE(Takes(FormOf(fields), "1")) << fields;
  }
  for (const char* fields : {R"("format": "")", R"("response_format": {})", R"("format": null)",
                             R"("structured_outputs": {"json_object": false})"}) {
    EXPECT_EQ(FormOf(fields).value(), nullptr) << fields;
  }
}

TEST(AnswerFormat, IsOneOfSomeTexts) {
  for (const char* fields : {R"("guided_choice": ["yes", "no", "yes sir", "no"])",
                             R"("structured_outputs": {"choice": ["yes", "yes sir", "no"]})"}) {
    EXPECT_TRUE(Takes(FormOf(fields), "yes"));
    EXPECT_TRUE(Takes(FormOf(fields), "yes sir"));
    EXPECT_FALSE(Takes(FormOf(fields), "yes "));
    EXPECT_FALSE(Takes(FormOf(fields), "\"no\""));
  }
  ExpectError(FormOf(R"("guided_choice": "yes")").status(), "guided_choice", "a list of texts");
  ExpectError(FormOf(R"("guided_choice": ["a", ""])").status(), "guided_choice", "none of them");
  ExpectError(FormOf(R"("structured_outputs": {"choice": []})").status(),
              "structured_outputs.choice", "a list of texts");
}

TEST(AnswerFormat, SaysWhenTwoFieldsContradict) {
  ExpectError(
      FormOf(R"("guided_choice": ["a"], "response_format": {"type": "json_object"})").status(),
      "guided_choice", "response_format and guided_choice both");
  ExpectError(FormOf(R"("structured_outputs": {"choice": ["a"], "json": {}})").status(),
              "structured_outputs.choice", "both say");
  ExpectError(FormatOf(R"({"type": "text", "schema": {}})").status(), "response_format.type",
              "beside a schema");
  ExpectError(FormOf(R"("guided_json": "{")").status(), "guided_json", "that of a JSON schema");
  ExpectError(FormOf(R"("format": 3)").status(), "format", "a schema is an object");
}

TEST(AnswerFormat, IsRefusedWithTheField) {
  ExpectError(FormatOf("7").status(), "response_format", "an object");
  ExpectError(FormatOf(R"({"type": "xml"})").status(), "response_format.type", "json_schema");
  ExpectError(FormatOf(R"({"type": "json_schema"})").status(), "response_format.json_schema",
              "an object with a schema");
  ExpectError(FormatOf(R"({"type": "json_schema", "json_schema": {"name": "n"}})").status(),
              "response_format.json_schema.schema", "a JSON schema");
  ExpectError(
      FormatOf(R"({"type": "json_schema", "json_schema": {"schema": {"pattern": "a"}}})").status(),
      "response_format.json_schema.schema", "pattern");
  const std::string large(kMostSchemaBytes, 'a');
  ExpectError(FormatOf(absl::StrCat(R"({"type": "json_schema", "json_schema": {"schema":
                                        {"const": ")",
                                    large, R"("}}})"))
                  .status(),
              "response_format.json_schema.schema", "too large");
}

TEST(Completion, BoundsStopStrings) {
  EXPECT_THAT(With(R"("stop": "x")")->stops, ElementsAre("x"));
  EXPECT_TRUE(With(R"("stop": [])")->stops.empty());
  ExpectError(With(absl::StrCat(R"("stop": ["a")", Repeated(R"(,"a")", 99999), "]")).status(),
              "stop", "is an array of 100000 values, expected a text or up to 16");
  ExpectError(With(absl::StrCat(R"("stop": ")", Repeated("a", 257), "\"")).status(), "stop",
              "at most 256 bytes");
  ExpectError(With(R"("stop": ["a", 1])").status(), "stop", "[\"a\",1]");
}

TEST(Chat, ReadsMessages) {
  const auto request = ChatWith(
      R"("messages": [{"role": "developer", "content": "Be."}, {"role": "user", "content":
         [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
         {"role": "assistant", "content": null}], "max_tokens": 3, "max_completion_tokens": 4,
         "logprobs": true, "top_logprobs": 2)");
  ASSERT_TRUE(request.ok()) << request.status();
  ASSERT_EQ(request->messages.size(), 3);
  EXPECT_EQ(request->messages[0].role, ChatRole::kSystem);
  EXPECT_EQ(request->messages[1].content, "ab");
  EXPECT_EQ(request->messages[2].content, "");
  EXPECT_EQ(request->max_tokens, 4);
  EXPECT_TRUE(request->wants_logprobs);
  EXPECT_EQ(request->top_logprobs, 2);
}

TEST(Chat, RefusesOtherMessages) {
  ExpectError(ChatWith("").status(), "messages", "missing");
  ExpectError(ChatWith(R"("messages": [])").status(), "messages", "not empty");
  ExpectError(ChatWith(R"("messages": ["Hi"])").status(), "messages[0]", "an object");
  ExpectError(ChatWith(R"("messages": [{"content": "Hi"}])").status(), "messages[0].role",
              "is \"\", expected system");
  ExpectError(ChatWith(R"("messages": [{"role": "tool", "content": "Hi"}])").status(),
              "messages[0].role", "\"tool\"");
  ExpectError(ChatWith(R"("messages": [{"role": "user", "content": 5}])").status(),
              "messages[0].content", "is 5");
  ExpectError(
      ChatWith(R"("messages": [{"role": "user", "content": [{"type": "image_url"}]}])").status(),
      "messages[0].content[0].type", "\"image_url\", expected \"text\"");
  ExpectError(
      ChatWith(R"("messages": [{"role": "user", "content": "a"}], "top_logprobs": 1)").status(),
      "top_logprobs", "without logprobs");
}

TEST(TextRequests, ReadWhatTheyNeed) {
  EXPECT_EQ(ParseEmbedding(Json::parse(R"({"input": ["a", "b"]})"))->inputs.size(), 2);
  EXPECT_TRUE(
      ParseEmbedding(Json::parse(R"({"input": "a", "encoding_format": "base64"})"))->base64);
  ExpectError(ParseEmbedding(Json::parse(R"({"input": "a", "encoding_format": "int8"})")).status(),
              "encoding_format", "\"float\" or \"base64\"");
  ExpectError(ParseEmbedding(Json{{"input", std::vector<std::string>(2049, "a")}}).status(),
              "input", "2049 texts, expected 2048");
  EXPECT_FALSE(ParseTokenize(Json::parse(R"({"content": "a"})"))->add_special);
  ExpectError(ParseTokenize(Json::parse("{}")).status(), "content", "missing");
  EXPECT_THAT(*ParseDetokenize(Json::parse(R"({"tokens": [3, 4]})")), ElementsAre(3, 4));
  ExpectError(ParseDetokenize(Json::parse(R"({"tokens": "3"})")).status(), "tokens", "an array");
}

TEST(Errors, HaveOpenAisShape) {
  const Json error = Json::parse(ErrorBody(FieldError("top_p", "top_p is \xff")))["error"];
  EXPECT_TRUE(error["code"].is_null());
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_EQ(error["param"], "top_p");
  EXPECT_EQ(error["message"], "top_p is \xEF\xBF\xBD");
  EXPECT_TRUE(Json::parse(ErrorBody(404, "no"))["error"]["param"].is_null());
  const auto code = [](const std::string& body) { return Json::parse(body)["error"]["code"]; };
  EXPECT_EQ(code(ErrorBody(401, "no")), "invalid_api_key");
  EXPECT_EQ(code(ErrorBody(absl::ResourceExhaustedError("full"))), "rate_limit_exceeded");
  EXPECT_EQ(code(ErrorBody(FieldError("prompt", "long", "context_length_exceeded"))),
            "context_length_exceeded");
  EXPECT_EQ(HttpCodeOf(NoSuchModel("a", "b")), 404);
  EXPECT_EQ(code(ErrorBody(NoSuchModel("a", "b"))), "model_not_found");
}

}  // namespace
}  // namespace sluice::server
