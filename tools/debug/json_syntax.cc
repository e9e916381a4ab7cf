#include "tools/debug/json_syntax.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "graph/attributes.h"

namespace sluice {
namespace {

// Finds where text is no JSON.
class JsonSyntax : public nlohmann::json_sax<nlohmann::json> {
 public:
  // "LINE:COLUMN: why", "" if it is JSON.
  static std::string ErrorIn(const std::string& content) {
    JsonSyntax syntax;
    nlohmann::json::sax_parse(content, &syntax);
    if (syntax.position_ == 0) return "";
    const size_t at = syntax.position_ - 1;
    const auto end = content.begin() + static_cast<ptrdiff_t>(std::min(at, content.size()));
    const auto begin = std::find(std::make_reverse_iterator(end), content.rend(), '\n').base();
    return absl::StrCat(
        std::count(content.begin(), end, '\n') + 1, ":", end - begin + 1, ": unexpected ",
        at < content.size() ? Quote(content.substr(at, 1)) : std::string("end"), " in JSON");
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

}  // namespace

std::string JsonSyntaxError(const std::string& content) { return JsonSyntax::ErrorIn(content); }

}  // namespace sluice
