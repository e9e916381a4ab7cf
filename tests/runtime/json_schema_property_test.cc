// What holds for every schema, on many random ones: whatever the logits say and however the
// vocabulary cuts texts up, a text that is sampled to its end is JSON that fits. Each scenario
// follows from its seed, which is printed with what went wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/answer.h"
#include "runtime/constraint/grammar_filter.h"
#include "runtime/constraint/json_schema.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kScenarios = 3000;

class Random {
 public:
  explicit Random(uint64_t seed) : bits_(seed) {}
  size_t Below(size_t count) { return bits_() % count; }
  bool Percent(size_t percent) { return Below(100) < percent; }
  template <typename T>
  const T& Of(const std::vector<T>& all) {
    return all[Below(all.size())];
  }

 private:
  std::mt19937_64 bits_;
};

const std::vector<std::string> kNames = {"a", "ab", "name", "\u00e9", "\u00e8", "with \"", "x/y"};

Json RandomSchema(Random& random, int depth);

Json RandomObject(Random& random, int depth) {
  Json schema = {{"type", "object"}};
  for (size_t i = random.Below(4); i > 0; --i) {
    schema["properties"][random.Of(kNames)] = RandomSchema(random, depth - 1);
  }
  if (random.Percent(40)) {
    schema["additionalProperties"] =
        random.Percent(50) ? Json(random.Percent(50)) : RandomSchema(random, depth - 1);
  }
  const Json properties = schema.value("properties", Json::object());
  for (const auto& [name, unused] : properties.items()) {
    if (random.Percent(50)) schema["required"].push_back(name);
  }
  return schema;
}

Json RandomArray(Random& random, int depth) {
  Json schema = {{"type", "array"}, {"items", RandomSchema(random, depth - 1)}};
  const size_t least = random.Below(3);
  if (random.Percent(50)) schema["minItems"] = least;
  if (random.Percent(50)) schema["maxItems"] = least + random.Below(3);
  return schema;
}

Json RandomString(Random& random) {
  Json schema = {{"type", "string"}};
  const size_t least = random.Below(4);
  if (random.Percent(40)) schema["minLength"] = least;
  if (random.Percent(40)) schema["maxLength"] = least + random.Below(4);
  return schema;
}

Json RandomSchema(Random& random, int depth) {
  switch (random.Below(depth > 0 ? 10 : 5)) {
    case 0:
      return RandomString(random);
    case 1:
      return {{"type", random.Percent(50) ? "integer" : "number"}};
    case 2:
      return Json::parse(R"({"enum": [1, "a\n", "ab", null, {"k": [1.5, "\u00e9"]}, "a"]})");
    case 3:
      return {{"type", Json::array({"boolean", "null"})}, {"title", "two types"}};
    case 4:
      return {{"const", random.Of(kNames)}};
    case 5:
      return random.Percent(30) ? Json(true) : RandomObject(random, depth);
    case 6:
    case 7:
      return RandomObject(random, depth);
    case 8:
      return RandomArray(random, depth);
    default:
      return {{"anyOf", Json::array({RandomSchema(random, depth - 1),
                                     random.Percent(40) ? Json::parse(R"({"$ref": "#"})")
                                                        : RandomSchema(random, depth - 1)})}};
  }
}

// The validator: JSON Schema as it is written, as far as the schemas above go.
// `unfolded`: a reference to the whole schema has led to this value already, and adds nothing more.
bool Fits(const Json& value, const Json& schema, const Json& root, bool unfolded = false);

int64_t Characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(),
                       [](char byte) { return (static_cast<uint8_t>(byte) & 0xC0) != 0x80; });
}

bool IsA(const Json& value, const std::string& type) {
  if (type == "number") return value.is_number();
  if (type == "integer") return value.is_number_integer();
  return value.type_name() == type;
}

bool ObjectFits(const Json& value, const Json& schema, const Json& root) {
  const Json properties = schema.value("properties", Json::object());
  for (const Json& name : schema.value("required", Json::array())) {
    if (!value.contains(name.get<std::string>())) return false;
  }
  for (const auto& [name, member] : value.items()) {
    const Json& rule = properties.contains(name) ? properties[name]
                                                 : schema.value("additionalProperties", Json(true));
    if (!Fits(member, rule, root)) return false;
  }
  return true;
}

bool ArrayFits(const Json& value, const Json& schema, const Json& root) {
  const size_t least = schema.value("minItems", size_t{0});
  const size_t most = schema.value("maxItems", value.size());
  return value.size() >= least && value.size() <= most &&
         std::all_of(value.begin(), value.end(), [&](const Json& item) {
           return Fits(item, schema.value("items", Json(true)), root);
         });
}

bool Fits(const Json& value, const Json& schema, const Json& root, bool unfolded) {
  if (schema.is_boolean()) return schema.get<bool>();
  if (schema.contains("$ref")) return !unfolded && Fits(value, root, root, true);
  if (schema.contains("anyOf")) {
    return std::any_of(schema["anyOf"].begin(), schema["anyOf"].end(),
                       [&](const Json& way) { return Fits(value, way, root, unfolded); });
  }
  if (schema.contains("const")) return value == schema["const"];
  if (schema.contains("enum")) {
    return std::find(schema["enum"].begin(), schema["enum"].end(), value) != schema["enum"].end();
  }
  const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
  const bool has_type =
      std::any_of(types.begin(), types.end(), [&](const Json& type) { return IsA(value, type); });
  if (!has_type) return false;
  if (value.is_object()) return ObjectFits(value, schema, root);
  if (value.is_array()) return ArrayFits(value, schema, root);
  if (!value.is_string()) return true;
  const int64_t length = Characters(value.get<std::string>());
  return length >= schema.value("minLength", int64_t{0}) &&
         length <= schema.value("maxLength", length);
}

// Every byte, and pieces as vocabularies have them: parts of characters, several marks in one.
std::shared_ptr<const TokenTrie> RandomVocabulary(Random& random) {
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  static constexpr absl::string_view kPieces[] = {
      "{\"",      "\":",      "\",",  "\",\"",    "}}",   "]}",     "[[",       "[{",
      "\": \"",   "\"}",      "null", "true",     "fal",  "\\u",    "\\ud83d",  "\\ude",
      "00",       "12",       "e1",   "-1",       ".5",   "\n  ",   "  ",       " ",
      "ab",       "name",     "a\":", "\xC3\xA9", "\xC3", "\xA9\"", "\xE2\x82", "\xF0\x9F\x98",
      "\x98\x80", "\xED\xA0", "x\"y", "\"\"",     "{}",   "[]",     "\\\"",     "\\n",
      "\",\n",    "1]",       "nu",   "ll"};
  for (const absl::string_view piece : kPieces) {
    if (random.Percent(80)) texts.emplace_back(piece);
  }
  texts.emplace_back("<end>");
  texts.emplace_back("");
  const auto end = static_cast<int32_t>(texts.size()) - 2;
  return std::make_shared<const TokenTrie>(std::move(texts), std::vector<int32_t>{end});
}

class Scenario {
 public:
  explicit Scenario(uint64_t seed)
      : random_(seed),
        schema_(random_.Percent(50) ? RandomObject(random_, 3) : RandomSchema(random_, 3)),
        tokens_(RandomVocabulary(random_)) {}

  // What went wrong, or "".
  std::string Run() {
    const auto grammar = CompileJsonSchema(schema_);
    if (!grammar.ok()) return CheckRefusal(grammar.status());
    twin_.emplace(*grammar, tokens_);
    automaton_.emplace(*grammar);
    state_ = automaton_->start();
    const GenerateOptions options = MakeOptions(*grammar);
    Answer answer(options, {});
    while (true) {
      if (std::string wrong = random_.Percent(10) ? CompareTokens() : ""; !wrong.empty()) {
        return wrong;
      }
      const auto token = answer.Next({Logits()}, /*has_room=*/true);
      if (!token.ok()) return std::string(token.status().message());
      if (!token->has_value()) break;
    }
    if (answer.reason() == StopReason::kEndOfGeneration) return CheckText();
    // A schema that leads back to itself may have texts of any length.
    cut_off_ = true;
    return state_ == Automaton::kDead ? "cut off, and no beginning of a text that fits" : "";
  }

  const std::string& text() const { return text_; }
  std::string schema() const { return schema_.dump(); }
  bool refused() const { return refused_; }
  bool cut_off() const { return cut_off_; }

 private:
  GenerateOptions MakeOptions(const std::shared_ptr<const Grammar>& grammar) {
    GenerateOptions options{.max_tokens = 1000};
    options.sampling = {.temperature = random_.Percent(20) ? 0.0 : 1.0,
                        .top_k = 0,
                        .repeat_penalty = random_.Percent(20) ? 1.2 : 1.0,
                        .seed = random_.Below(1000)};
    options.is_end = [this](int32_t token) { return token == tokens_->ends()[0]; };
    options.on_token = [this](int32_t token) {
      const absl::string_view piece = tokens_->TextOf(token);
      twin_->Accept(token);
      state_ = After(piece);
      text_.append(piece.data(), piece.size());
      return true;
    };
    options.new_filter = [this, grammar] {
      return std::make_unique<GrammarFilter>(grammar, tokens_);
    };
    return options;
  }

  // Random, but what closes becomes likely once the text is long.
  std::vector<float> Logits() {
    std::vector<float> logits(static_cast<size_t>(tokens_->vocabulary()));
    for (float& logit : logits) logit = static_cast<float>(random_.Below(1000)) * 0.01F;
    if (text_.size() < 60) return logits;
    for (size_t t = 0; t < logits.size(); ++t) {
      const absl::string_view piece = tokens_->TextOf(static_cast<int32_t>(t));
      if (piece == "\"" || piece == "]" || piece == "}") logits[t] += 40;
      if (piece == "," || piece == "[" || piece == "{") logits[t] -= 20;
    }
    logits[static_cast<size_t>(tokens_->ends()[0])] += 60;
    return logits;
  }

  Automaton::State After(absl::string_view bytes) {
    Automaton::State state = state_;
    for (const char byte : bytes) state = automaton_->Next(state, static_cast<uint8_t>(byte));
    return state;
  }

  // The walk through the tree of tokens gives what each token gives by itself.
  std::string CompareTokens() {
    const auto allowed = twin_->Allowed();
    if (!allowed.ok()) return std::string(allowed.status().message());
    for (int32_t token = 0; token < tokens_->vocabulary(); ++token) {
      const absl::string_view text = tokens_->TextOf(token);
      const bool fits = token == tokens_->ends()[0]
                            ? automaton_->Accepts(state_)
                            : !text.empty() && After(text) != Automaton::kDead;
      const uint64_t word = (*allowed)[static_cast<size_t>(token) / 64];
      if (fits != ((word >> (token % 64) & 1) != 0)) {
        return absl::StrCat("token ", token, " after ", text_);
      }
    }
    return "";
  }

  std::string CheckText() const {
    const Json value = Json::parse(text_, nullptr, /*allow_exceptions=*/false);
    if (value.is_discarded()) return absl::StrCat("no JSON: ", text_);
    return Fits(value, schema_, schema_) ? "" : absl::StrCat("does not fit: ", text_);
  }

  // Random schemas can contradict themselves, and are wrong in no other way.
  std::string CheckRefusal(const absl::Status& status) {
    refused_ = true;
    const std::string message(status.message());
    const bool expected = message.find("no value fits") != std::string::npos ||
                          message.find("is required") != std::string::npos;
    return expected ? "" : message;
  }

  Random random_;
  Json schema_;
  std::shared_ptr<const TokenTrie> tokens_;
  std::optional<GrammarFilter> twin_;  // of the answer's own
  std::optional<Automaton> automaton_;
  Automaton::State state_ = Automaton::kDead;
  std::string text_;
  bool refused_ = false;
  bool cut_off_ = false;
};

TEST(JsonSchemaProperty, WhatIsSampledFits) {
  uint64_t refused = 0, cut_off = 0, bytes = 0;
  for (uint64_t seed = 1; seed <= kScenarios; ++seed) {
    Scenario scenario(seed);
    const std::string wrong = scenario.Run();
    ASSERT_EQ(wrong, "") << "seed " << seed << ", schema " << scenario.schema();
    refused += scenario.refused() ? 1 : 0;
    cut_off += scenario.cut_off() ? 1 : 0;
    bytes += scenario.text().size();
  }
  // The scenarios are of the kind that they are meant to be.
  EXPECT_LT(refused, kScenarios / 20);
  EXPECT_LT(cut_off, kScenarios / 20);
  EXPECT_GT(bytes, kScenarios * 20);
}

}  // namespace
}  // namespace sluice
