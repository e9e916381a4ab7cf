#include "models/text/bpe.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "models/files/tokenizer_keys.h"
#include "models/unicode/utf8.h"

namespace sluice {
namespace {

// Bytes that are printable in Latin-1 stand for themselves, the others for the characters from
// U+0100 on, in order.
bool IsPrintable(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct ByteAlphabet {
  static constexpr uint32_t kCharacters = 0x144;  // 0x100 and the 68 bytes that are not printable
  static constexpr int kNoByte = -1;

  std::array<std::string, 256> texts;
  std::array<int, kCharacters> bytes;

  ByteAlphabet() {
    bytes.fill(kNoByte);
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < texts.size(); ++byte) {
      const uint32_t character = IsPrintable(byte) ? byte : next++;
      AppendUtf8(character, &texts[byte]);
      bytes[character] = static_cast<int>(byte);
    }
  }
};

const ByteAlphabet& Alphabet() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

uint64_t PairKey(TokenId left, TokenId right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

}  // namespace

const std::string& ByteLevelText(uint8_t byte) { return Alphabet().texts[byte]; }

BpeCodec::BpeCodec(const Vocabulary& vocabulary, PreTokenizer pre_tokenizer, bool whole_words)
    : vocabulary_(vocabulary), pre_tokenizer_(std::move(pre_tokenizer)), whole_words_(whole_words) {
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_[byte] = vocabulary_.Find(ByteLevelText(static_cast<uint8_t>(byte)));
  }
}

absl::StatusOr<std::unique_ptr<BpeCodec>> BpeCodec::Load(const WeightSource& file,
                                                         const Vocabulary& vocabulary,
                                                         const PreTokenizerKind& kind,
                                                         std::vector<std::string>* warnings) {
  if (file.Find(kMergesKey) == nullptr) return KeyError(file, kMergesKey, "missing");
  SLUICE_ASSIGN_OR_RETURN(
      const std::vector<absl::string_view> merges,
      ReadKey<std::vector<absl::string_view>>(file, kMergesKey, &MetadataValue::AsStrings, {}));
  SLUICE_ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::Create(kind));
  std::unique_ptr<BpeCodec> codec(
      new BpeCodec(vocabulary, std::move(pre_tokenizer), kind.whole_words));
  codec->merges_.reserve(merges.size());
  size_t skipped = 0;
  absl::string_view first_skipped;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    if (codec->AddMerge(merges[rank], static_cast<double>(rank))) continue;
    if (skipped++ == 0) first_skipped = merges[rank];
  }
  if (skipped > 0) {
    warnings->push_back(AboutKey(file, kMergesKey, skipped, " of ", merges.size(),
                                 " ignored: they are not two tokens that make a third; the first "
                                 "is '",
                                 Printable(first_skipped), "'"));
  }
  return codec;
}

bool BpeCodec::AddMerge(absl::string_view merge, double rank) {
  // From 1: the left token may be a space itself.
  const size_t space = merge.find(' ', 1);
  if (space == absl::string_view::npos) return false;
  const absl::string_view left = merge.substr(0, space);
  const absl::string_view right = merge.substr(space + 1);
  const TokenId left_id = vocabulary_.Find(left);
  const TokenId right_id = vocabulary_.Find(right);
  const TokenId joined_id = vocabulary_.Find(absl::StrCat(left, right));
  if (left_id == kNoToken || right_id == kNoToken || joined_id == kNoToken) return false;
  merges_.try_emplace(PairKey(left_id, right_id), Merge{joined_id, rank});
  return true;
}

void BpeCodec::Encode(absl::string_view text, bool /*after_special*/,
                      std::vector<TokenId>* ids) const {
  const std::string normalized = NormalizeUtf8(text);
  for (const absl::string_view word : pre_tokenizer_.Split(normalized)) EncodeWord(word, ids);
}

void BpeCodec::EncodeWord(absl::string_view word, std::vector<TokenId>* ids) const {
  if (whole_words_) {
    std::string text;
    for (const char byte : word) text += ByteLevelText(static_cast<uint8_t>(byte));
    const TokenId id = vocabulary_.Find(text);
    if (id != kNoToken) return ids->push_back(id);
  }
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (size_t at = 0; at < word.size(); ++at) {
    symbols.push_back({at, at + 1, byte_ids_[static_cast<uint8_t>(word[at])]});
  }
  symbols = MergeSymbols(std::move(symbols), [this](const Symbol& left, const Symbol& right) {
    const auto merge = merges_.find(PairKey(left.id, right.id));
    return merge == merges_.end() ? Merge{} : merge->second;
  });
  for (const Symbol& symbol : symbols) {
    if (symbol.id != kNoToken) ids->push_back(symbol.id);
  }
}

std::string BpeCodec::Decode(absl::string_view text) const {
  std::string bytes;
  while (!text.empty()) {
    const CodePoint code = DecodeUtf8(text);
    const int byte = code.value < ByteAlphabet::kCharacters ? Alphabet().bytes[code.value]
                                                            : ByteAlphabet::kNoByte;
    // What is not in the alphabet can only stand for itself.
    if (byte == ByteAlphabet::kNoByte) {
      bytes.append(text.data(), code.bytes);
    } else {
      bytes.push_back(static_cast<char>(byte));
    }
    text.remove_prefix(code.bytes);
  }
  return bytes;
}

}  // namespace sluice
