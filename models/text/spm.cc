#include "models/text/spm.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "models/unicode/utf8.h"

namespace sluice {
namespace {

constexpr absl::string_view kSpace = "\u2581";

}  // namespace

SpmCodec::SpmCodec(const Vocabulary& vocabulary, bool add_space)
    : vocabulary_(vocabulary), add_space_(add_space) {
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    // Old vocabularies have the bare byte.
    const char bare = static_cast<char>(byte);
    TokenId id = vocabulary_.Find(absl::StrFormat("<0x%02X>", byte));
    if (id == kNoToken) id = vocabulary_.Find(absl::string_view(&bare, 1));
    byte_ids_[byte] = id == kNoToken ? vocabulary_.unknown() : id;
  }
  for (TokenId id = 0; id < vocabulary_.size(); ++id) {
    longest_ = std::max(longest_, vocabulary_.Text(id).size());
  }
}

void SpmCodec::Encode(absl::string_view text, bool after_special, std::vector<TokenId>* ids) const {
  const absl::string_view prefix = add_space_ && after_special ? kSpace : "";
  const std::string escaped = absl::StrCat(prefix, absl::StrReplaceAll(text, {{" ", kSpace}}));
  const absl::string_view whole = escaped;
  std::vector<Symbol> symbols;
  for (size_t at = 0; at < whole.size();) {
    const size_t end = std::min(at + Utf8Length(whole[at]), whole.size());
    symbols.push_back({at, end, vocabulary_.Find(whole.substr(at, end - at))});
    at = end;
  }
  symbols = MergeSymbols(std::move(symbols), [&](const Symbol& left, const Symbol& right) {
    const size_t length = right.end - left.begin;
    if (length > longest_) return Merge{};
    const TokenId id = vocabulary_.Find(whole.substr(left.begin, length));
    return id == kNoToken ? Merge{} : Merge{id, -double{vocabulary_.Score(id)}};
  });
  for (const Symbol& symbol : symbols) {
    if (symbol.id != kNoToken) {
      ids->push_back(symbol.id);
      continue;
    }
    for (const char byte : whole.substr(symbol.begin, symbol.end - symbol.begin)) {
      const TokenId id = byte_ids_[static_cast<uint8_t>(byte)];
      if (id != kNoToken) ids->push_back(id);
    }
  }
}

std::string SpmCodec::Decode(absl::string_view text) const {
  return absl::StrReplaceAll(text, {{kSpace, " "}});
}

}  // namespace sluice
