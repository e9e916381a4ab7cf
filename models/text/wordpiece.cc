#include "models/text/wordpiece.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "models/unicode/utf8.h"

namespace sluice {
namespace {

constexpr absl::string_view kWordStart = "\u2581";

// Real tokens are shorter than 100 bytes. With the bound, the time for a word does not depend on
// what lengths a damaged file claims.
constexpr size_t kLongest = 256;

constexpr uint32_t kReplacement = 0xFFFD;

struct CodeRange {
  uint32_t first, last;
};
// The blocks of ideographs that BERT's tokenizer sets apart; the gap at U+2B820 is its own.
constexpr CodeRange kIdeographs[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                     {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF},
                                     {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};

bool IsIdeograph(uint32_t code) {
  return std::any_of(std::begin(kIdeographs), std::end(kIdeographs),
                     [code](const CodeRange& r) { return code >= r.first && code <= r.last; });
}

utf8proc_category_t CategoryOf(uint32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

// White_Space of the Unicode database: the separators and some control characters.
bool IsSpace(uint32_t code) {
  const utf8proc_category_t category = CategoryOf(code);
  return (code >= '\t' && code <= '\r') || code == 0x85 ||
         (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP);
}

bool IsLeftOut(uint32_t code) {
  const utf8proc_category_t category = CategoryOf(code);
  return code == 0 || code == kReplacement ||
         (category >= UTF8PROC_CATEGORY_CC && category <= UTF8PROC_CATEGORY_CO);
}

bool IsAccent(uint32_t code) {
  const utf8proc_category_t category = CategoryOf(code);
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

bool IsWordByItself(uint32_t code) {
  const utf8proc_category_t category = CategoryOf(code);
  const bool punctuation = category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
  const bool symbol = category >= UTF8PROC_CATEGORY_SM && category <= UTF8PROC_CATEGORY_SO;
  return punctuation || (symbol && code < 0x7F) || IsIdeograph(code);
}

// The first code point of the canonical decomposition. For most letters the others are accents; of
// a Hangul syllable only the first consonant is left, which llama.cpp does, too.
uint32_t BaseOf(uint32_t code) {
  std::array<utf8proc_int32_t, 8> parts;  // of one code point there are at most 4
  int last_boundary = UTF8PROC_BOUNDCLASS_START;
  const utf8proc_ssize_t count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), parts.data(), parts.size(),
                              UTF8PROC_DECOMPOSE, &last_boundary);
  return count > 0 ? static_cast<uint32_t>(parts[0]) : code;
}

}  // namespace

std::vector<std::string> SplitWords(absl::string_view text, const WordPieceOptions& options) {
  std::vector<std::string> words;
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  while (!text.empty()) {
    const CodePoint point = DecodeUtf8(text);
    text.remove_prefix(point.bytes);
    const uint32_t code = options.strip_accents ? BaseOf(point.value) : point.value;
    if (IsSpace(code)) {
      finish();
      continue;
    }
    if (IsLeftOut(code) || (options.strip_accents && IsAccent(code))) continue;
    const bool alone = IsWordByItself(code);
    if (alone) finish();
    const auto signed_code = static_cast<utf8proc_int32_t>(code);
    AppendUtf8(options.lower_case ? static_cast<uint32_t>(utf8proc_tolower(signed_code)) : code,
               &word);
    if (alone) finish();
  }
  finish();
  return words;
}

WordPieceCodec::WordPieceCodec(const Vocabulary& vocabulary, const WordPieceOptions& options)
    : vocabulary_(vocabulary), options_(options) {
  for (TokenId id = 0; id < vocabulary_.size(); ++id) {
    const size_t size = vocabulary_.Text(id).size();
    if (size <= kLongest) longest_ = std::max(longest_, size);
  }
}

void WordPieceCodec::Encode(absl::string_view text, bool /*after_special*/,
                            std::vector<TokenId>* ids) const {
  for (const std::string& word : SplitWords(text, options_)) {
    EncodeWord(absl::StrCat(kWordStart, word), ids);
  }
}

void WordPieceCodec::EncodeWord(absl::string_view word, std::vector<TokenId>* ids) const {
  const size_t count = ids->size();
  while (!word.empty()) {
    size_t length = std::min(word.size(), longest_);
    TokenId id = kNoToken;
    for (; length > 0; --length) {
      id = vocabulary_.Find(word.substr(0, length));
      if (id != kNoToken) break;
    }
    if (id == kNoToken) {
      ids->resize(count);
      if (vocabulary_.unknown() != kNoToken) ids->push_back(vocabulary_.unknown());
      return;
    }
    ids->push_back(id);
    word.remove_prefix(length);
  }
}

std::string WordPieceCodec::Decode(absl::string_view text) const {
  return absl::StrReplaceAll(text, {{kWordStart, " "}});
}

}  // namespace sluice
