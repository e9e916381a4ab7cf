#include "models/text/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// What `\s` means in an expression, where it stands only inside classes: White_Space of the Unicode
// database. PCRE2's own \s has U+180E as well.
constexpr absl::string_view kSpaces =
    R"(\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

// What one match may cost. Words are short, so only text made for the purpose comes near.
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimitKiB = 64 * 1024;

struct MatchDataDeleter {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct ContextDeleter {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct CodeDeleter {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
using MatchData = std::unique_ptr<pcre2_match_data, MatchDataDeleter>;

// PCRE2 wants valid UTF-8, where surrogates have no place. Private use characters of the same
// length stand in for them: neither are letters, numbers, punctuation or spaces.
std::string WithoutSurrogates(absl::string_view text) {
  std::string result(text);
  for (size_t at = result.find('\xED'); at != std::string::npos; at = result.find('\xED', at + 1)) {
    const bool surrogate = static_cast<uint8_t>(result[at + 1]) >= 0xA0;
    if (surrogate) result.replace(at, 3, "\xEE\x80\x80");
  }
  return result;
}

}  // namespace

class PreTokenizer::Expression {
 public:
  static absl::StatusOr<Expression> Compile(absl::string_view pattern);

  // Appends the matches in `piece` and what lies between them.
  void Split(absl::string_view piece, pcre2_match_data* match,
             std::vector<absl::string_view>* pieces) const;

 private:
  // False if there is no further match, or none that can be found within the limits.
  bool Match(absl::string_view piece, size_t from, pcre2_match_data* match) const;

  std::unique_ptr<pcre2_code, CodeDeleter> code_;
  std::unique_ptr<pcre2_match_context, ContextDeleter> limits_;
};

absl::StatusOr<PreTokenizer::Expression> PreTokenizer::Expression::Compile(
    absl::string_view pattern) {
  const std::string expanded = absl::StrReplaceAll(pattern, {{R"(\s)", kSpaces}});
  int error = 0;
  PCRE2_SIZE at = 0;
  Expression result;
  result.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expanded.data()), expanded.size(),
                                   PCRE2_UTF, &error, &at, nullptr));
  result.limits_.reset(pcre2_match_context_create(nullptr));
  if (result.code_ == nullptr || result.limits_ == nullptr) {
    return absl::InternalError(
        absl::StrCat("pre-tokenizer expression '", expanded, "': PCRE2 error ", error, " at ", at));
  }
  // Where there is no just-in-time compiler, matching falls back to the interpreter.
  pcre2_jit_compile(result.code_.get(), PCRE2_JIT_COMPLETE);
  pcre2_set_match_limit(result.limits_.get(), kMatchLimit);
  pcre2_set_heap_limit(result.limits_.get(), kHeapLimitKiB);
  return result;
}

bool PreTokenizer::Expression::Match(absl::string_view piece, size_t from,
                                     pcre2_match_data* match) const {
  const auto run = [&](uint32_t options) {
    return pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(piece.data()), piece.size(), from,
                       PCRE2_NO_UTF_CHECK | options, match, limits_.get());
  };
  int result = run(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(PCRE2_NO_JIT);
  return result > 0;
}

void PreTokenizer::Expression::Split(absl::string_view piece, pcre2_match_data* match,
                                     std::vector<absl::string_view>* pieces) const {
  size_t done = 0;
  while (done < piece.size() && Match(piece, done, match)) {
    const PCRE2_SIZE* const range = pcre2_get_ovector_pointer(match);
    if (range[0] > done) pieces->push_back(piece.substr(done, range[0] - done));
    pieces->push_back(piece.substr(range[0], range[1] - range[0]));
    done = range[1];
  }
  if (done < piece.size()) pieces->push_back(piece.substr(done));
}

PreTokenizer::PreTokenizer(std::vector<Expression> expressions)
    : expressions_(std::move(expressions)) {}
PreTokenizer::~PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;

absl::StatusOr<PreTokenizer> PreTokenizer::Create(const PreTokenizerKind& kind) {
  std::vector<Expression> expressions;
  for (const absl::string_view pattern : kind.patterns) {
    SLUICE_ASSIGN_OR_RETURN(Expression expression, Expression::Compile(pattern));
    expressions.push_back(std::move(expression));
  }
  return PreTokenizer(std::move(expressions));
}

std::vector<absl::string_view> PreTokenizer::Split(absl::string_view text) const {
  if (text.empty()) return {};
  const std::string matched = WithoutSurrogates(text);
  const MatchData match(pcre2_match_data_create(1, nullptr));
  std::vector<absl::string_view> pieces = {matched};
  for (const Expression& expression : expressions_) {
    std::vector<absl::string_view> finer;
    for (const absl::string_view piece : pieces) expression.Split(piece, match.get(), &finer);
    pieces = std::move(finer);
  }
  size_t at = 0;
  for (absl::string_view& piece : pieces) {
    piece = text.substr(at, piece.size());
    at += piece.size();
  }
  return pieces;
}

}  // namespace sluice
