#include "models/pretokenizer.h"

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

// `\s` stands only inside classes below. It means White_Space of the Unicode database: PCRE2's own
// \s has U+180E as well.
constexpr absl::string_view kSpaces =
    R"(\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

constexpr absl::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|[\s]+(?![^\s])|[\s]+)";

constexpr absl::string_view kGpt2Patterns[] = {kGpt2};
constexpr absl::string_view kStarcoderPatterns[] = {R"(\p{N})", kGpt2};
constexpr absl::string_view kFalconPatterns[] = {R"([\p{P}$+<=>^~|`]+)", kGpt2, "[0-9][0-9][0-9]"};
constexpr absl::string_view kDefaultPatterns[] = {R"([\p{P}$+<=>^~|]+)", kGpt2, R"(\p{N}+)",
                                                  "[0-9][0-9][0-9]"};

// Contractions are spelled out in both cases: caseless matching would take U+017F for an s.
constexpr absl::string_view kLlama3Patterns[] = {
    R"('(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"};
constexpr absl::string_view kQwen2Patterns[] = {
    R"('(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"};
constexpr absl::string_view kSeedCoderPatterns[] = {
    R"('(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}\r\n]+|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"};

// Beyond ASCII, every letter counts as upper and as lower case here.
constexpr absl::string_view kTekkenPatterns[] = {
    R"([^\r\n\p{L}\p{N}]?(?:(?![a-z])\p{L})*(?:(?![A-Z])\p{L})+|)"
    R"([^\r\n\p{L}\p{N}]?(?:(?![a-z])\p{L})+(?:(?![A-Z])\p{L})*|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"};
constexpr absl::string_view kGpt4oPatterns[] = {
    R"([^\r\n\p{L}\p{N}]?(?:(?![a-z])\p{L})*(?:(?![A-Z])\p{L})+)"
    R"((?:'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL]))?|)"
    R"([^\r\n\p{L}\p{N}]?(?:(?![a-z])\p{L})+(?:(?![A-Z])\p{L})*)"
    R"((?:'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL]))?|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"};

constexpr absl::string_view kDeepseekCoderPatterns[] = {
    R"([\r\n])", R"([\s]?\p{L}+)", R"([\s]?\p{P}+)",
    R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)", R"(\p{N})"};
constexpr absl::string_view kDeepseek3Patterns[] = {
    R"(\p{N}{1,3})", R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"};
// The second is nearly the cased letters, but not quite. In the fourth, the lookbehind only keeps
// the search from trying every place in a run of spaces.
constexpr absl::string_view kDeepseekLlmPatterns[] = {
    R"([\r\n])",
    R"([\s]?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕ)"
    R"(Ἐ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ)"
    R"(\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ)"
    R"(\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2})"
    R"(\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)",
    R"([\s]?[!-/:-~！-／：-～‘-‟\x{3000}-。]+)",
    R"((?<![\s])[\s]+\z)",
    R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)",
    R"(\p{N}+)"};

// Several names stand for one set of expressions; the rest of an entry can differ.
constexpr PreTokenizerKind kKinds[] = {
    {.name = kDefaultPreTokenizer, .patterns = kDefaultPatterns},
    {.name = "gpt-2", .patterns = kGpt2Patterns},
    {.name = "phi-2", .patterns = kGpt2Patterns},
    {.name = "mpt", .patterns = kGpt2Patterns},
    {.name = "olmo", .patterns = kGpt2Patterns},
    {.name = "jais", .patterns = kGpt2Patterns},
    {.name = "gigachat", .patterns = kGpt2Patterns},
    {.name = "exaone4", .patterns = kGpt2Patterns},
    {.name = "trillion", .patterns = kGpt2Patterns, .tidies_spaces = false},
    {.name = "starcoder", .patterns = kStarcoderPatterns},
    {.name = "refact", .patterns = kStarcoderPatterns},
    {.name = "codeshell", .patterns = kStarcoderPatterns},
    {.name = "exaone", .patterns = kStarcoderPatterns},
    {.name = "minerva-7b", .patterns = kStarcoderPatterns},
    {.name = "command-r", .patterns = kStarcoderPatterns, .tidies_spaces = false},
    {.name = "smollm", .patterns = kStarcoderPatterns, .tidies_spaces = false},
    {.name = "falcon", .patterns = kFalconPatterns},
    {.name = "llama-bpe", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "llama-v3", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "llama3", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "falcon3", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "falcon-h1", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "pixtral", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "lfm2", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "smaug-bpe", .patterns = kLlama3Patterns},
    {.name = "dbrx", .patterns = kLlama3Patterns},
    {.name = "chatglm-bpe", .patterns = kLlama3Patterns},
    {.name = "glm4", .patterns = kLlama3Patterns},
    {.name = "qwen2", .patterns = kQwen2Patterns, .tidies_spaces = false},
    {.name = "deepseek-r1-qwen", .patterns = kQwen2Patterns, .tidies_spaces = false},
    {.name = "hunyuan", .patterns = kQwen2Patterns, .tidies_spaces = false},
    {.name = "grok-2", .patterns = kQwen2Patterns, .tidies_spaces = false},
    {.name = "stablelm2", .patterns = kQwen2Patterns},
    {.name = "megrez", .patterns = kQwen2Patterns},
    {.name = "seed-coder", .patterns = kSeedCoderPatterns, .tidies_spaces = false},
    {.name = "tekken",
     .patterns = kTekkenPatterns,
     .whole_words = true,
     .adds_bos = true,
     .tidies_spaces = false},
    {.name = "gpt-4o", .patterns = kGpt4oPatterns, .tidies_spaces = false},
    {.name = "llama4", .patterns = kGpt4oPatterns, .tidies_spaces = false},
    {.name = "deepseek-llm", .patterns = kDeepseekLlmPatterns, .tidies_spaces = false},
    {.name = "deepseek-coder", .patterns = kDeepseekCoderPatterns, .tidies_spaces = false},
    {.name = "deepseek-v3", .patterns = kDeepseek3Patterns, .tidies_spaces = false},
};

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
    return absl::InternalError(absl::StrCat("pre-tokenizer expression '", expanded,
                                            "': PCRE2 error ", error, " at ", at));
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

absl::Span<const PreTokenizerKind> PreTokenizerKinds() { return kKinds; }

const PreTokenizerKind* FindPreTokenizerKind(absl::string_view name) {
  for (const PreTokenizerKind& kind : kKinds) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

}  // namespace sluice
