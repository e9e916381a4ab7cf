#include "models/text/special_tokens.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "absl/strings/ascii.h"

namespace sluice {
namespace {

// Real ones are shorter than 100 bytes. With the bound, the time for a text does not depend on
// what lengths a damaged file claims.
constexpr size_t kLongest = 1024;

uint8_t Byte(absl::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

bool IsSpecial(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUserDefined ||
         type == TokenType::kUnknown;
}

bool KeepsSpace(absl::string_view text) {
  return text == "<unk>" || text == "<s>" || text == "<|endoftext|>";
}

}  // namespace

SpecialTokens::SpecialTokens(const Vocabulary& vocabulary, bool swallow_space) {
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    const TokenType type = vocabulary.Type(id);
    const absl::string_view text = vocabulary.Text(id);
    // Find() tells the first of duplicates from the others.
    if (!IsSpecial(type) || text.size() > kLongest || vocabulary.Find(text) != id) continue;
    tokens_.push_back(
        {text, id, type != TokenType::kUserDefined, swallow_space && !KeepsSpace(text)});
  }
  std::sort(tokens_.begin(), tokens_.end(),
            [](const Token& a, const Token& b) { return a.text < b.text; });
  for (const Token& token : tokens_) ++starts_[Byte(token.text, 0) + size_t{1}];
  for (size_t byte = 1; byte < starts_.size(); ++byte) starts_[byte] += starts_[byte - 1];
}

std::vector<Fragment> SpecialTokens::Split(absl::string_view text,
                                           absl::Span<const TextRange> markup) const {
  if (text.empty()) return {};
  const auto is_markup = [&](absl::string_view match) {
    const auto begin = static_cast<size_t>(match.data() - text.data());
    const auto after = std::upper_bound(markup.begin(), markup.end(), begin,
                                        [](size_t at, const TextRange& r) { return at < r.begin; });
    return after != markup.begin() && begin + match.size() <= std::prev(after)->end;
  };
  std::vector<Fragment> fragments = {{text}};
  for (const size_t index : FindOccurring(text, !markup.empty())) {
    const Token& token = tokens_[index];
    fragments = SplitAt(token, fragments, [&](absl::string_view match) {
      return !token.control || is_markup(match);
    });
  }
  return fragments;
}

std::vector<size_t> SpecialTokens::FindOccurring(absl::string_view text, bool parse_control) const {
  std::vector<bool> occurs(tokens_.size(), false);
  for (size_t at = 0; at < text.size(); ++at) {
    MarkPrefixes(text.substr(at), &occurs);
  }
  std::vector<size_t> found;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (occurs[i] && (parse_control || !tokens_[i].control)) found.push_back(i);
  }
  std::sort(found.begin(), found.end(), [this](size_t a, size_t b) {
    const size_t a_size = tokens_[a].text.size();
    const size_t b_size = tokens_[b].text.size();
    return a_size != b_size ? a_size > b_size : tokens_[a].id < tokens_[b].id;
  });
  return found;
}

void SpecialTokens::MarkPrefixes(absl::string_view text, std::vector<bool>* occurs) const {
  auto low = tokens_.begin() + static_cast<ptrdiff_t>(starts_[Byte(text, 0)]);
  auto high = tokens_.begin() + static_cast<ptrdiff_t>(starts_[Byte(text, 0) + size_t{1}]);
  // Tokens in [low, high) begin with the first `length` bytes of the text.
  for (size_t length = 1; low != high; ++length) {
    if (low->text.size() == length) {
      (*occurs)[static_cast<size_t>(low - tokens_.begin())] = true;
      ++low;
    }
    if (length == text.size()) return;
    const uint8_t next = Byte(text, length);
    low = std::partition_point(low, high,
                               [&](const Token& token) { return Byte(token.text, length) < next; });
    high = std::partition_point(
        low, high, [&](const Token& token) { return Byte(token.text, length) == next; });
  }
}

std::vector<Fragment> SpecialTokens::SplitAt(const Token& token,
                                             const std::vector<Fragment>& fragments,
                                             absl::FunctionRef<bool(absl::string_view)> counts) {
  std::vector<Fragment> result;
  for (const Fragment& fragment : fragments) {
    if (fragment.id != kNoToken) {
      result.push_back(fragment);
      continue;
    }
    absl::string_view rest = fragment.text;
    for (size_t at = rest.find(token.text); at != absl::string_view::npos;) {
      if (!counts(rest.substr(at, token.text.size()))) {
        at = rest.find(token.text, at + 1);
        continue;
      }
      if (at > 0) result.push_back({rest.substr(0, at)});
      result.push_back({token.text, token.id});
      rest.remove_prefix(at + token.text.size());
      if (token.swallows_space) rest = absl::StripLeadingAsciiWhitespace(rest);
      at = rest.find(token.text);
    }
    if (!rest.empty()) result.push_back({rest});
  }
  return result;
}

}  // namespace sluice
