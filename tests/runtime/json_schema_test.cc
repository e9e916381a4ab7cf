#include "runtime/constraint/json_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/constraint/automaton.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;

bool Matches(const Grammar& grammar, absl::string_view text) {
  Automaton automaton(std::make_shared<const Grammar>(grammar));
  Automaton::State state = automaton.start();
  for (const char byte : text) state = automaton.Next(state, static_cast<uint8_t>(byte));
  return automaton.Accepts(state);
}

struct Case {
  const char* schema;
  std::vector<std::string> fit, other;
};

void Check(const Case& c) {
  const auto grammar = CompileJsonSchema(Json::parse(c.schema));
  ASSERT_TRUE(grammar.ok()) << c.schema << ": " << grammar.status();
  for (const std::string& text : c.fit) {
    EXPECT_TRUE(Matches(**grammar, text)) << c.schema << " takes " << text;
    EXPECT_TRUE(Json::accept(text)) << text;
  }
  for (const std::string& text : c.other) {
    EXPECT_FALSE(Matches(**grammar, text)) << c.schema << " takes " << text;
  }
}

TEST(JsonSchema, Scalars) {
  Check({R"({"type":"null"})", {"null"}, {"", "nul", "nulll", " null", "true"}});
  Check({R"({"type":"boolean"})", {"true", "false"}, {"null", "t", "True"}});
  Check({R"({"type":"integer"})",
         {"0", "-7", "123456789012345678", "-123456789012345678"},
         {"", "-", "01", "1.0", "1e3", "+1", "1234567890123456789", "0x1"}});
  Check({R"({"type":"number"})",
         {"0", "-0.5", "1.25e-7", "3E+2", "123456789012345"},
         {".5", "1.", "1e", "1e100", "-", "00", "NaN", "1234567890123456"}});
  Check({R"({"type":["integer","null"]})", {"5", "null"}, {"5.5", "\"\"", "null5"}});
  Check({"true", {"1", "\"a\"", "[]", "{}", "null"}, {"", "1 ", "nil"}});
}

TEST(JsonSchema, Strings) {
  Check(
      {R"({"type":"string"})",
       {"\"\"", "\"a b\"", R"("\"\\\/\b\f\n\r\t")", R"("\u00e9\uD7ff\ue000")", R"("\ud83d\ude00")",
        "\"\xC3\xA9\"", "\"\xE2\x82\xAC\"", "\"\xF0\x9F\x98\x80\"", "\"\x7F\""},
       {"\"", "a", "'a'", "\"\n\"", "\"\t\"", R"("\x")", R"("\u12")", R"("\u12g4")"}});
}

TEST(JsonSchema, StringsAreUnicode) {
  Check({R"({"type":"string"})",
         {},
         {R"("\ud83d")", R"("\ude00")", R"("\ud83d\u0041")", R"("\ud83dx")", R"("\ud83d\n")",
          "\"\x80\"", "\"\xC0\xAF\"", "\"\xC3\"", "\"\xE0\x80\x80\"", "\"\xED\xA0\x80\"",
          "\"\xF4\x90\x80\x80\"", "\"\xF5\x80\x80\x80\"", "\"\xFF\"", "\"\xE2\x82\""}});
}

TEST(JsonSchema, LengthsCountCharacters) {
  Check({R"({"type":"string","minLength":2,"maxLength":3})",
         {"\"ab\"", "\"abc\"", "\"\xC3\xA9\xF0\x9F\x98\x80\"", R"("\n\ud83d\ude00x")"},
         {"\"a\"", "\"abcd\"", "\"\xC3\xA9\"", R"("\ud83d\ude00")", "\"\""}});
  Check({R"({"type":"string","maxLength":0})", {"\"\""}, {"\"a\""}});
  Check({R"({"maxLength":1000000000})", {"\"\"", "\"abc\""}, {"1"}});
}

TEST(JsonSchema, Arrays) {
  Check({R"({"type":"array","items":{"type":"integer"}})",
         {"[]", "[1]", "[1,2, 3]", "[ 1 ,2 ]", "[\n  1,\n  2\n]"},
         {"[", "[,]", "[1,]", "[1 2]", "[\"a\"]", "[  1]", "[\n\n1]"}});
  Check({R"({"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3})",
         {"[1,2]", "[1,2,3]"},
         {"[]", "[1]", "[1,2,3,4]"}});
  Check({R"({"type":"array","items":false})", {"[]"}, {"[1]"}});
  Check({R"({"maxItems":0})", {"[]", "[ ]"}, {"[1]"}});
  Check({R"({"type":"array"})", {"[[], {}, \"a\"]"}, {"{}"}});
}

TEST(JsonSchema, MembersComeInTheirOrder) {
  Check({R"({"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"null"},
             "c":{"type":"boolean"}},"required":["a"]})",
         {R"({"a":null})", R"({"b":1,"a":null,"c":true})", R"({ "b": 1, "a": null })",
          R"({"a":null,"c":false})"},
         {"{}", R"({"b":1})", R"({"a":null,"b":1})", R"({"a":null,"a":null})", R"({"a":1})",
          R"({"a":null,})", R"({,"a":null})", R"({"a":null,"d":1})", R"({"a" :null})"}});
}

TEST(JsonSchema, MembersThatAreNotDeclared) {
  Check({R"({"type":"object"})",
         {"{}", R"({"x":1})", R"({"x":1,"y":{"\u0041":[]}})"},
         {"{", "[]", R"({"x"})", R"({x:1})", R"({"x":1,})"}});
  Check({R"({"type":"object","properties":{}})", {"{}"}, {R"({"x":1})"}});
  Check({R"({"properties":{"a":{"const":1}},"required":["a","z"]})",
         {R"({"a":1,"z":[2]})"},
         {R"({"a":1})", R"({"z":1})"}});
  Check({R"({"type":"object","properties":{"ab":{"const":1},"é":{"const":2}},
             "additionalProperties":{"type":"null"}})",
         {"{}", R"({"ab":1})", R"({"a":null})", R"({"abc":null,"":null})", R"({"ab":1,"b":null})",
          R"({"é":2,"éa":null,"€":null})"},
         {R"({"ab":null})", R"({"é":null})", R"({"a":1})", R"({"\u0061b":null})"}});
}

TEST(JsonSchema, ListsOfValues) {
  Check({R"({"enum":["red","re",3,null,{"a":[1,"x"]}]})",
         {"\"red\"", "\"re\"", "3", "null", R"({"a":[1,"x"]})"},
         {"\"r\"", "\"redd\"", "33", R"({"a": [1,"x"]})", ""}});
  Check({R"({"const":"\u00e9\"\n"})", {"\"\xC3\xA9\\\"\\n\""}, {"\"\""}});
  Check({R"({"type":"string","enum":["a",1]})", {"\"a\""}, {"1"}});
  Check({R"({"enum":["a","b"],"const":"b"})", {"\"b\""}, {"\"a\""}});
}

TEST(JsonSchema, ChoicesAndReferences) {
  Check({R"({"anyOf":[{"type":"integer"},{"type":"array","items":{"$ref":"#"}}]})",
         {"1", "[]", "[1,[2,[]]]"},
         {"[\"a\"]", "{}"}});
  Check({R"({"$ref":"#/$defs/a~1b","$defs":{"a/b":{"type":"object","properties":{
             "v":{"type":"integer"},"next":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/a~1b"}]}},
             "required":["v","next"]}}})",
         {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":null}})"},
         {R"({"v":1})", R"({"v":1,"next":{}})"}});
  // What only leads back to itself adds nothing.
  Check({R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", {"null"}, {"", "1"}});
}

std::string ErrorOf(const std::string& schema) {
  const auto grammar = CompileJsonSchema(Json::parse(schema));
  EXPECT_EQ(grammar.status().code(), absl::StatusCode::kInvalidArgument) << schema;
  return std::string(grammar.status().message());
}

// RFC 6901, in the form of a URI fragment.
TEST(JsonSchema, AReferenceIsAJsonPointer) {
  const auto to = [](const char* pointer, const char* target_is) {
    const std::string schema =
        absl::StrCat(R"({"$id":"https://example.org/s","properties":{"r":{"$ref":")", pointer,
                     R"("}},"required":["r"],"$defs":{"":{"const":"empty"},"a/b":{"const":"slash"},
            "m~n":{"const":"tilde"},"~1":{"const":"both"},"a b%":{"const":"blank"},
            "\u00e9":{"const":"accent"},"0":{"const":"zero"},"$dollar":{"const":"dollar"},
            "list":{"anyOf":[{"const":"first"},{"const":"second"}]}}})");
    const std::string other = absl::StrCat(R"({"r":"not )", target_is, "\"}");
    Check({schema.c_str(), {absl::StrCat(R"({"r":")", target_is, "\"}")}, {other}});
  };
  to("#/$defs/a~1b", "slash");
  to("#/$defs/m~0n", "tilde");
  to("#/$defs/~01", "both");
  to("#/$defs/", "empty");
  to("#/$defs/0", "zero");
  to("#/$defs/list/anyOf/1", "second");
  to("#/%24defs/%24dollar", "dollar");
  to("#/$defs/a%20b%25", "blank");
  to("#/$defs/%C3%A9", "accent");
  to("#/$defs/\u00e9", "accent");
  to("#%2F$defs%2fa~1b", "slash");
  to("https://example.org/s#/$defs/a~1b", "slash");
  // The whole, by each of its names.
  for (const char* whole : {"#", "https://example.org/s", "https://example.org/s#"}) {
    Check(
        {absl::StrCat(R"({"$id":"https://example.org/s","items":{"$ref":")", whole, "\"}}").c_str(),
         {"[]", "[[],[[]]]"},
         {"[1]"}});
  }
}

TEST(JsonSchema, SaysWhereAReferenceLeadsNowhere) {
  const auto error = [](const char* pointer) {
    return ErrorOf(absl::StrCat(R"({"items":{"$ref":")", pointer,
                                R"("},"$defs":{"list":[{},{}],"own":{"$id":"x","not":{},
                                   "$defs":{"a":{}}}}})"));
  };
  for (const char* index : {"2", "-", "01", "+1", "-1", "1x", "99999999999999999999", ""}) {
    EXPECT_THAT(error(absl::StrCat("#/$defs/list/", index).c_str()),
                AllOf(HasSubstr("#/items:"), HasSubstr("in an array of 2 values")))
        << index;
  }
  EXPECT_THAT(error("#/$defs/list/0/x"), HasSubstr("there is no 'x'"));
  EXPECT_THAT(error("#/$defs/~2"), HasSubstr("~0"));
  EXPECT_THAT(error("#/$defs/~"), HasSubstr("~0"));
  EXPECT_THAT(error("#/%4"), HasSubstr("hexadecimal"));
  EXPECT_THAT(error("#/%zz"), HasSubstr("hexadecimal"));
  EXPECT_THAT(error("#anchor"), HasSubstr("expected a JSON pointer"));
  EXPECT_THAT(error("other.json#/a"), HasSubstr("within this schema"));
  EXPECT_THAT(error("#/$defs/own/$defs/a"), HasSubstr("'$id' in #/$defs/own"));
  // Within it, # would be another place.
  EXPECT_THAT(ErrorOf(R"({"items":{"$id":"x","items":{"$ref":"#"}}})"),
              AllOf(HasSubstr("#/items:"), HasSubstr("'$id'")));
  Check({R"({"items":{"$id":"x","type":"null"}})", {"[null]"}, {"[1]"}});
}

TEST(JsonSchema, WholeNumbersAreIntegersHoweverTheyAreWritten) {
  Check({R"({"type":"integer","const":3.0})", {"3"}, {"3.0", "4"}});
  Check({R"({"type":"integer","enum":[1.0,2.5,-0.0,1e3,"1"]})",
         {"1", "0", "1000"},
         {"2.5", "1.0", "\"1\""}});
  Check({R"({"enum":[1,1.0],"const":1.0})", {"1"}, {"1.0"}});
  Check({R"({"type":"number","enum":[2.0,2.5]})", {"2", "2.5"}, {"2.0"}});
  Check({R"({"type":"string","minLength":1.0,"maxLength":2e0})", {"\"a\"", "\"ab\""}, {"\"\""}});
  Check({R"({"minItems":1.0,"maxItems":1.0})", {"[1]"}, {"[]", "[1,2]"}});
  // Members in another order make no other value.
  Check({R"({"enum":[{"a":1,"b":2.0}],"const":{"b":2,"a":1.0}})", {R"({"a":1,"b":2.0})"}, {"1"}});
}

TEST(JsonSchema, NestingIsBounded) {
  const auto nested = [](int levels) {
    return absl::StrCat(std::string(static_cast<size_t>(levels), '['),
                        std::string(static_cast<size_t>(levels), ']'));
  };
  Check({R"({"type":"array"})", {nested(1), nested(60)}, {nested(200)}});
}

TEST(JsonSchema, AJsonObjectIsOne) {
  const auto grammar = JsonObjectGrammar();
  EXPECT_TRUE(Matches(*grammar, R"({"a": [1, {"b": null}], "c": "\u00e9"})"));
  for (const char* other : {"[]", "1", "\"a\"", "null", " {}", "{} "}) {
    EXPECT_FALSE(Matches(*grammar, other)) << other;
  }
}

TEST(JsonSchema, SaysWhatItDoesNotTakeAndWhere) {
  EXPECT_THAT(ErrorOf(R"({"type":"object","properties":{"a/b":{"type":"string","pattern":"x"}}})"),
              AllOf(HasSubstr("#/properties/a~1b:"), HasSubstr("'pattern'")));
  for (const char* word :
       {"format", "minimum", "oneOf", "allOf", "not", "uniqueItems", "maximum", "prefixItems",
        "patternProperties", "multipleOf", "minProperties", "$anchor", "maxlength"}) {
    EXPECT_THAT(ErrorOf(absl::StrCat(R"({"type":"string",")", word, R"(":1})")),
                AllOf(HasSubstr("#:"), HasSubstr(absl::StrCat("'", word, "'"))));
  }
  EXPECT_THAT(ErrorOf(R"({"items":{"anyOf":[{},{"enum":[1],"minLength":2}]}})"),
              AllOf(HasSubstr("#/items/anyOf/1:"), HasSubstr("'minLength'")));
  EXPECT_THAT(ErrorOf(R"({"anyOf":[{}],"type":"object"})"), HasSubstr("'type'"));
  EXPECT_THAT(ErrorOf(R"({"$ref":"#","required":[]})"), HasSubstr("'required'"));
}

TEST(JsonSchema, SaysWhatIsWrong) {
  EXPECT_THAT(ErrorOf("3"), HasSubstr("not number"));
  EXPECT_THAT(ErrorOf(R"({"type":"text"})"), HasSubstr("'text'"));
  EXPECT_THAT(ErrorOf(R"({"type":[]})"), HasSubstr("empty"));
  EXPECT_THAT(ErrorOf(R"({"type":5})"), HasSubstr("list of strings"));
  EXPECT_THAT(ErrorOf(R"({"properties":[]})"), HasSubstr("no object"));
  EXPECT_THAT(ErrorOf(R"({"required":"a"})"), HasSubstr("list of strings"));
  EXPECT_THAT(ErrorOf(R"({"enum":1})"), HasSubstr("no list"));
  EXPECT_THAT(ErrorOf(R"({"anyOf":{}})"), HasSubstr("no list"));
  for (const char* count : {"-1", "1.5", "\"1\"", "4294967295", "1e30"}) {
    EXPECT_THAT(ErrorOf(absl::StrCat(R"({"minItems":)", count, "}")), HasSubstr("whole number"));
  }
  EXPECT_THAT(ErrorOf(R"({"$ref":"https://example.org/schema"})"), HasSubstr("within this schema"));
  EXPECT_THAT(ErrorOf(R"({"items":{"$ref":"#/$defs/a"}})"),
              AllOf(HasSubstr("#/items:"), HasSubstr("'$defs'")));
  EXPECT_THAT(ErrorOf(R"({"$ref":"#/$defs/a","$defs":{"a":{"pattern":""}}})"),
              HasSubstr("#/$defs/a:"));
  EXPECT_THAT(ErrorOf(R"({"required":["a"],"additionalProperties":false})"), HasSubstr("'a'"));
}

TEST(JsonSchema, RefusesWhatNothingFits) {
  for (const char* schema :
       {"false", R"({"enum":[]})", R"({"$ref":"#"})", R"({"type":"string","const":1})",
        R"({"minLength":3,"maxLength":2})", R"({"minItems":1,"items":false})",
        R"({"minItems":3,"maxItems":2})", R"({"items":{"$ref":"#"},"minItems":1})",
        R"({"properties":{"a":{"$ref":"#"}},"required":["a"]})"}) {
    EXPECT_THAT(ErrorOf(schema), HasSubstr("no value fits")) << schema;
  }
}

TEST(JsonSchema, IsBounded) {
  std::string deep = "{}";
  for (int i = 0; i < 200; ++i) deep = absl::StrCat(R"({"items":)", deep, "}");
  EXPECT_THAT(ErrorOf(deep), HasSubstr("nested too deeply"));
  const std::string brackets(100000, '['), closing(100000, ']');
  EXPECT_THAT(ErrorOf(absl::StrCat(R"({"const":)", brackets, closing, "}")),
              HasSubstr("nested too deeply"));

  Json wide = {{"enum", Json::array()}};
  for (int i = 0; i < 20000; ++i) wide["enum"].push_back(absl::StrCat(i * 7919, "-", i));
  EXPECT_THAT(ErrorOf(wide.dump()), HasSubstr("too large"));

  Json chain = {{"$ref", "#/$defs/0"}, {"$defs", Json::object()}};
  for (int i = 0; i < 2000; ++i) {
    chain["$defs"][absl::StrCat(i)] = {{"$ref", absl::StrCat("#/$defs/", i + 1)}};
  }
  chain["$defs"]["2000"] = {{"type", "null"}};
  Check({chain.dump().c_str(), {"null"}, {"1"}});

  EXPECT_THAT(ErrorOf(Json({{"properties", {{std::string(300, 'a'), true}}},
                            {"additionalProperties", true}})
                          .dump()),
              HasSubstr("300 bytes"));
}

}  // namespace
}  // namespace sluice
