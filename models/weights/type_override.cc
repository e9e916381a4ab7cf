#include "models/weights/type_override.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/formats/quantize.h"
#include "graph/nearest_name.h"
#include "models/files/gguf.h"

namespace sluice {
namespace {

// What one match may cost: names are short, so no sensible pattern comes near.
constexpr uint32_t kMatchLimit = 100'000;

std::string MessageOf(int error) {
  std::array<PCRE2_UCHAR, 128> text = {};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

std::vector<absl::string_view> EncodableTypes() {
  std::vector<absl::string_view> names;
  for (const DTypeInfo& info : AllDTypes()) {
    if (QuantizerFor(info.dtype) != nullptr) names.push_back(info.name);
  }
  return names;
}

}  // namespace

class TypeOverride::Expression {
 public:
  Expression() = default;
  ~Expression() {
    pcre2_match_data_free(match_);
    pcre2_match_context_free(limits_);
    pcre2_code_free(code_);
  }
  Expression(const Expression&) = delete;
  Expression& operator=(const Expression&) = delete;

  absl::Status Compile(absl::string_view pattern) {
    int error = 0;
    PCRE2_SIZE at = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), 0, &error,
                          &at, nullptr);
    if (code_ == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(MessageOf(error), ", at character ", at + 1));
    }
    limits_ = pcre2_match_context_create(nullptr);
    match_ = pcre2_match_data_create_from_pattern(code_, nullptr);
    if (limits_ == nullptr || match_ == nullptr) {
      return absl::ResourceExhaustedError("no memory for the pattern");
    }
    pcre2_set_match_limit(limits_, kMatchLimit);
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Matches(absl::string_view name) const {
    const int result = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(), 0,
                                   0, match_, limits_);
    if (result == PCRE2_ERROR_NOMATCH) return false;
    if (result < 0) return absl::InvalidArgumentError(MessageOf(result));
    return true;
  }

 private:
  pcre2_code* code_ = nullptr;
  pcre2_match_context* limits_ = nullptr;
  pcre2_match_data* match_ = nullptr;
};

TypeOverride::TypeOverride() : expression_(std::make_unique<Expression>()) {}
TypeOverride::~TypeOverride() = default;
TypeOverride::TypeOverride(TypeOverride&&) noexcept = default;
TypeOverride& TypeOverride::operator=(TypeOverride&&) noexcept = default;

absl::StatusOr<TypeOverride> TypeOverride::Parse(absl::string_view text) {
  const auto wrong = [text](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("'", Printable(text), "': ", what));
  };
  const size_t equals = text.rfind('=');
  if (equals == absl::string_view::npos || equals == 0) return wrong("expected REGEX=TYPE");
  const std::string type = absl::AsciiStrToLower(text.substr(equals + 1));
  const std::optional<DType> dtype = DTypeFromName(type);
  if (!dtype || QuantizerFor(*dtype) == nullptr) {
    return wrong(absl::StrCat("unknown type '", Printable(type), "', expected one of ",
                              absl::StrJoin(EncodableTypes(), ", "),
                              DidYouMean(type, EncodableTypes())));
  }
  TypeOverride result;
  result.text_ = std::string(text);
  result.dtype_ = *dtype;
  const absl::Status status = result.expression_->Compile(text.substr(0, equals));
  if (!status.ok()) return wrong(status.message());
  return result;
}

absl::StatusOr<bool> TypeOverride::Matches(absl::string_view name) const {
  const absl::StatusOr<bool> matches = expression_->Matches(name);
  if (matches.ok()) return matches;
  return absl::Status(matches.status().code(),
                      absl::StrCat("'", Printable(text_), "': matching '", Printable(name),
                                   "': ", matches.status().message()));
}

}  // namespace sluice
