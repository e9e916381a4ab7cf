// The syntax of JSON (RFC 8259) as parts of a grammar.
//
// Only what is sure to be taken by every reader: UTF-8 without errors, surrogates in pairs, numbers
// short enough for a double or an int64. Blanks are bounded, so that a text gets on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "runtime/constraint/grammar.h"

namespace sluice {

class JsonText {
 public:
  static constexpr size_t kMaxName = 256;  // bytes of a member's name in `OtherName`

  explicit JsonText(GrammarBuilder* builder);

  // Bodies.
  GrammarNodeId value() const { return value_; }
  GrammarNodeId number() const { return number_; }
  GrammarNodeId integer() const { return integer_; }
  GrammarNodeId string() const { return string_; }
  // A string of min to max characters.
  GrammarNodeId String(uint32_t min, uint32_t max);
  // min to max values of one body.
  GrammarNodeId Array(GrammarNodeId item, uint32_t min, uint32_t max);

  struct Member {
    std::string name;  // as in JSON, quoted
    GrammarNodeId value;
    bool required;
  };
  struct Others {
    GrammarNodeId name, value;  // bodies
  };
  // The members in their order, then any number of others.
  GrammarNodeId Object(absl::Span<const Member> members, const std::optional<Others>& others);
  // A name that is none of `names`, which are sorted, differ, are not quoted and not too long. Not
  // all such names: none with an escape, and none with a character that begins with the same byte
  // as another one that a name has in this place.
  GrammarNodeId OtherName(const std::vector<std::string>& names);

 private:
  GrammarNodeId Blanks(GrammarNodeId next) { return builder_.Call(blanks_, next); }
  GrammarNodeId BlanksBody();
  GrammarNodeId PlainCharacter(absl::Span<const bool> left_out, GrammarNodeId next);
  GrammarNodeId Escape();
  GrammarNodeId Hex(GrammarNodeId next);
  GrammarNodeId Digits(uint32_t most, GrammarNodeId next);
  GrammarNodeId NumberBody();
  GrammarNodeId ValueBody();
  GrammarNodeId AfterName(GrammarNodeId value);
  GrammarNodeId OtherEnd(absl::Span<const std::string> names, size_t begin, bool within_character);

  GrammarBuilder& builder_;
  GrammarNodeId value_, blanks_, digit_, plain_, character_, string_, integer_, number_;
};

}  // namespace sluice
