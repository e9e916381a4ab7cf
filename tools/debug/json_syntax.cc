#include "tools/debug/json_syntax.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "graph/attributes.h"

namespace sluice {
namespace {

// "LINE:COLUMN" of a byte.
std::string PlaceOf(absl::string_view content, size_t byte) {
  const absl::string_view before = content.substr(0, byte);
  const size_t line = static_cast<size_t>(std::count(before.begin(), before.end(), '\n')) + 1;
  const size_t newline = before.rfind('\n');
  return absl::StrCat(line, ":",
                      newline == before.npos ? before.size() + 1 : before.size() - newline);
}

// Finds where text is no JSON.
class JsonSyntax : public nlohmann::json_sax<nlohmann::json> {
 public:
  // "LINE:COLUMN: why", "" if it is JSON.
  static std::string ErrorIn(const std::string& content) {
    JsonSyntax syntax;
    nlohmann::json::sax_parse(content, &syntax);
    if (syntax.position_ == 0) return "";
    const size_t at = syntax.position_ - 1;
    return absl::StrCat(PlaceOf(content, at), ": unexpected ",
                        at < content.size() ? Quote(content.substr(at, 1)) : std::string("end"),
                        " in JSON");
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    position_ = std::max<size_t>(position, 1);
    return false;
  }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }

 private:
  size_t position_ = 0;  // bytes read, the wrong one among them; 0: no error
};

// Walks through text that is JSON.
class JsonWalk {
 public:
  explicit JsonWalk(absl::string_view text) : text_(text) {}

  // To the value of the field or element `step` of the object or array that is next.
  bool Enter(absl::string_view step) {
    const char open = Next();
    if (open != '{' && open != '[') return false;
    ++at_;
    int64_t wanted = 0;
    if (open == '[' && !absl::SimpleAtoi(step, &wanted)) return false;
    for (int64_t i = 0; Next() != '}' && Next() != ']' && Next() != '\0'; ++i) {
      bool found = open == '[' && i == wanted;
      if (open == '{') {
        const size_t key = at_ + 1;
        SkipString();
        found = text_.substr(key, at_ - key - 1) == step;
        if (Next() == ':') ++at_;
        Next();
      }
      if (found) return true;
      SkipValue();
      if (Next() == ',') ++at_;
    }
    return false;
  }
  size_t at() const { return at_; }

 private:
  // What comes after blanks; 0 at the end.
  char Next() {
    while (at_ < text_.size() && absl::ascii_isspace(text_[at_])) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  void SkipString() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) at_ += text_[at_] == '\\' ? 1 : 0;
    ++at_;
  }
  void SkipValue() {
    int64_t depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (depth == 0 && (c == ',' || c == ']' || c == '}')) return;
      if (c == '"') {
        SkipString();
        continue;
      }
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') --depth;
      ++at_;
    }
  }

  absl::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::string JsonPlaceOf(const std::string& content, absl::string_view path) {
  JsonWalk walk(content);
  size_t reached = 0;
  for (const absl::string_view step :
       absl::StrSplit(path, absl::ByAnyChar(".[]"), absl::SkipEmpty())) {
    if (!walk.Enter(step)) break;
    reached = walk.at();
  }
  return reached > 0 ? PlaceOf(content, reached) : "";
}

std::string JsonSyntaxError(const std::string& content) { return JsonSyntax::ErrorIn(content); }

}  // namespace sluice
