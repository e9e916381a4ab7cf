#include "runtime/constraint/json_text.h"

#include <algorithm>
#include <array>

namespace sluice {
namespace {

constexpr uint32_t kUnlimited = Grammar::kUnlimited;

// UTF-8 as in table 3-7 of the Unicode standard, without what JSON has escaped: the first byte, the
// second one, and how many more.
struct CharacterForm {
  uint8_t first, last;
  uint8_t second_first, second_last;  // 0: there is none
  int more;
};
constexpr CharacterForm kForms[] = {
    {0x20, 0x21, 0, 0, 0},       {0x23, 0x5B, 0, 0, 0},       {0x5D, 0x7F, 0, 0, 0},
    {0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1}, {0xE1, 0xEC, 0x80, 0xBF, 1},
    {0xED, 0xED, 0x80, 0x9F, 1}, {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2},
    {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2},
};

bool IsContinuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

}  // namespace

JsonText::JsonText(GrammarBuilder* builder) : builder_(*builder), value_(builder->Reserve()) {
  const GrammarNodeId end = builder_.Return();
  blanks_ = BlanksBody();
  digit_ = builder_.Bytes('0', '9', end);
  plain_ = PlainCharacter({}, end);
  character_ = builder_.Either(plain_, Escape());
  string_ = String(0, kUnlimited);
  const GrammarNodeId whole =  // of up to 18 digits, which an int64 always holds
      builder_.Either(builder_.Literal("0", end), builder_.Bytes('1', '9', Digits(17, end)));
  integer_ = builder_.Either(whole, builder_.Literal("-", whole));
  number_ = NumberBody();
  builder_.Define(value_, ValueBody());
}

// Nothing, one space, or a new line that is indented.
GrammarNodeId JsonText::BlanksBody() {
  constexpr uint32_t kMostIndent = 20;
  const GrammarNodeId end = builder_.Return();
  const GrammarNodeId blank =
      builder_.Either(builder_.Literal(" ", end), builder_.Literal("\t", end));
  const GrammarNodeId line = builder_.Literal("\n", builder_.Repeat(blank, 0, kMostIndent, end));
  return builder_.Either(end, builder_.Either(builder_.Literal(" ", end), line));
}

// One character that is not escaped, but none whose first byte is `left_out`, unless that is empty.
GrammarNodeId JsonText::PlainCharacter(absl::Span<const bool> left_out, GrammarNodeId next) {
  const auto is_out = [&](int byte) {
    return !left_out.empty() && left_out[static_cast<size_t>(byte)];
  };
  GrammarNodeId ways = builder_.Never();
  for (const CharacterForm& form : kForms) {
    GrammarNodeId rest = next;
    for (int i = 0; i < form.more; ++i) rest = builder_.Bytes(0x80, 0xBF, rest);
    if (form.second_first > 0) rest = builder_.Bytes(form.second_first, form.second_last, rest);
    for (int begin = form.first; begin <= form.last; ++begin) {
      if (is_out(begin)) continue;
      int end = begin;
      while (end < form.last && !is_out(end + 1)) ++end;
      ways = builder_.Either(
          builder_.Bytes(static_cast<uint8_t>(begin), static_cast<uint8_t>(end), rest), ways);
      begin = end;
    }
  }
  return ways;
}

GrammarNodeId JsonText::Hex(GrammarNodeId next) {
  return builder_.Either(
      builder_.Bytes('0', '9', next),
      builder_.Either(builder_.Bytes('a', 'f', next), builder_.Bytes('A', 'F', next)));
}

GrammarNodeId JsonText::Escape() {
  const auto any_of = [this](absl::string_view bytes, GrammarNodeId next) {
    GrammarNodeId ways = builder_.Never();
    for (const char byte : bytes) ways = builder_.Either(builder_.Literal({&byte, 1}, next), ways);
    return ways;
  };
  const GrammarNodeId end = builder_.Return();
  const GrammarNodeId hex2 = Hex(Hex(end));
  const GrammarNodeId low = builder_.Literal("\\u", any_of("dD", any_of("cdefCDEF", hex2)));
  const GrammarNodeId after_d =  // a character, or the first half of a pair
      builder_.Either(builder_.Bytes('0', '7', hex2), any_of("89abAB", Hex(Hex(low))));
  const GrammarNodeId code =
      builder_.Either(any_of("0123456789abcefABCEF", Hex(hex2)), any_of("dD", after_d));
  return builder_.Literal("\\",
                          builder_.Either(any_of("\"\\/bfnrt", end), builder_.Literal("u", code)));
}

GrammarNodeId JsonText::String(uint32_t min, uint32_t max) {
  const GrammarNodeId end = builder_.Literal("\"", builder_.Return());
  return builder_.Literal("\"", builder_.Repeat(character_, min, max, end));
}

GrammarNodeId JsonText::Digits(uint32_t most, GrammarNodeId next) {
  return builder_.Repeat(digit_, 0, most, next);
}

// Up to 15 digits before and after the point and 2 in the exponent: always a finite double.
GrammarNodeId JsonText::NumberBody() {
  const GrammarNodeId end = builder_.Return();
  const GrammarNodeId digits = builder_.Bytes('0', '9', Digits(1, end));
  const GrammarNodeId sign = builder_.Either(
      digits, builder_.Either(builder_.Literal("+", digits), builder_.Literal("-", digits)));
  const GrammarNodeId exponent =
      builder_.Either(builder_.Literal("e", sign), builder_.Literal("E", sign));
  const GrammarNodeId after_fraction = builder_.Repeat(exponent, 0, 1, end);
  const GrammarNodeId fraction = builder_.Literal(".", builder_.Repeat(digit_, 1, 15, end));
  const GrammarNodeId after_whole = builder_.Repeat(fraction, 0, 1, after_fraction);
  const GrammarNodeId whole = builder_.Either(builder_.Literal("0", after_whole),
                                              builder_.Bytes('1', '9', Digits(14, after_whole)));
  return builder_.Either(whole, builder_.Literal("-", whole));
}

GrammarNodeId JsonText::ValueBody() {
  GrammarNodeId ways = builder_.OneOf({"false", "null", "true"}, builder_.Return());
  for (const GrammarNodeId body :
       {number_, string_, Array(value_, 0, kUnlimited), Object({}, Others{string_, value_})}) {
    ways = builder_.Either(body, ways);
  }
  return ways;
}

GrammarNodeId JsonText::Array(GrammarNodeId item, uint32_t min, uint32_t max) {
  if (min > max) return builder_.Never();
  const GrammarNodeId close = builder_.Literal("]", builder_.Return());
  GrammarNodeId ways = min == 0 ? close : builder_.Never();
  if (max > 0) {
    const GrammarNodeId one = builder_.Call(item, Blanks(builder_.Return()));
    const GrammarNodeId more =
        builder_.Repeat(builder_.Literal(",", Blanks(one)), std::max(min, 1U) - 1,
                        max == kUnlimited ? max : max - 1, close);
    ways = builder_.Either(ways, builder_.Call(one, more));
  }
  return builder_.Literal("[", Blanks(ways));
}

GrammarNodeId JsonText::AfterName(GrammarNodeId value) {
  return builder_.Literal(":", Blanks(builder_.Call(value, Blanks(builder_.Return()))));
}

// Built from the last member to the first, in two chains: `first` while no member has been written,
// `later` where there is one, so that a comma comes next.
GrammarNodeId JsonText::Object(absl::Span<const Member> members,
                               const std::optional<Others>& others) {
  const GrammarNodeId close = builder_.Literal("}", builder_.Return());
  GrammarNodeId first = close, later = close;
  if (others.has_value()) {
    const GrammarNodeId one = builder_.Call(others->name, AfterName(others->value));
    later = builder_.Repeat(builder_.Literal(",", Blanks(one)), 0, kUnlimited, close);
    first = builder_.Either(builder_.Call(one, later), close);
  }
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    const GrammarNodeId body = builder_.Literal(member->name, AfterName(member->value));
    const GrammarNodeId as_first = builder_.Call(body, later);
    const GrammarNodeId as_later = builder_.Literal(",", Blanks(as_first));
    first = member->required ? as_first : builder_.Either(as_first, first);
    later = member->required ? as_later : builder_.Either(as_later, later);
  }
  return builder_.Literal("{", Blanks(first));
}

GrammarNodeId JsonText::OtherName(const std::vector<std::string>& names) {
  return builder_.Literal("\"", OtherEnd(names, 0, /*within_character=*/false));
}

// What may follow where a name is like `names` up to `begin`, so that it is none of them.
GrammarNodeId JsonText::OtherEnd(absl::Span<const std::string> names, size_t begin,
                                 bool within_character) {
  const bool is_name = !names.empty() && names.front().size() == begin;
  if (is_name) names.remove_prefix(1);
  const GrammarNodeId close = builder_.Literal("\"", builder_.Return());
  GrammarNodeId ways = is_name || within_character ? builder_.Never() : close;
  std::array<bool, 256> goes_on = {};
  while (!names.empty()) {
    const char byte = names.front()[begin];
    const auto end = std::find_if(names.begin(), names.end(),
                                  [&](const std::string& name) { return name[begin] != byte; });
    const auto count = static_cast<size_t>(end - names.begin());
    const auto part = names.first(count);
    const bool splits = part.front().size() > begin + 1 && IsContinuation(part.front()[begin + 1]);
    const auto number = static_cast<uint8_t>(byte);
    goes_on[number] = true;
    // A name with what must be escaped cannot be written here anyway.
    if (number >= 0x20 && byte != '"' && byte != '\\') {
      ways =
          builder_.Either(builder_.Bytes(number, number, OtherEnd(part, begin + 1, splits)), ways);
    }
    names.remove_prefix(count);
  }
  if (within_character) return ways;
  const GrammarNodeId rest = builder_.Repeat(plain_, 0, kUnlimited, close);
  return builder_.Either(PlainCharacter(goes_on, rest), ways);
}

}  // namespace sluice
