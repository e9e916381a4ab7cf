#include "models/tokenizer.h"

#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "graph/status_macros.h"
#include "models/bpe.h"
#include "models/pretokenizer.h"
#include "models/special_tokens.h"
#include "models/spm.h"
#include "models/text_codec.h"
#include "models/tidy_spaces.h"
#include "models/tokenizer_keys.h"
#include "models/utf8.h"
#include "models/vocabulary.h"

namespace sluice {
namespace {

using Warnings = std::vector<std::string>;

absl::StatusOr<const PreTokenizerKind*> ReadPreTokenizerKind(const GgufFile& file,
                                                             Warnings* warnings) {
  SLUICE_ASSIGN_OR_RETURN(const absl::string_view name,
                          ReadKey<absl::string_view>(file, kPreKey, &GgufValue::AsString, ""));
  const PreTokenizerKind* kind = FindPreTokenizerKind(name);
  if (kind != nullptr) return kind;
  const std::string problem =
      name.empty() ? "missing" : absl::StrCat("unknown pre-tokenizer '", Printable(name), "'");
  warnings->push_back(AboutKey(file, kPreKey, problem, ", using '", kDefaultPreTokenizer,
                               "': text may be cut into other tokens than in training"));
  return FindPreTokenizerKind(kDefaultPreTokenizer);
}

// Whether a token is added to every text. `token` is the one to add.
absl::StatusOr<bool> ReadAdds(const GgufFile& file, absl::string_view key, bool fallback,
                              TokenId token, Warnings* warnings) {
  SLUICE_ASSIGN_OR_RETURN(const bool adds,
                          ReadKey<bool>(file, key, &GgufValue::AsBool, bool{fallback}));
  if (!adds || token != kNoToken) return adds;
  warnings->push_back(AboutKey(file, key, "ignored: the vocabulary has no such token"));
  return false;
}

// The phi-3 vocabularies expect it; no key says so, only the model's name.
absl::StatusOr<bool> ReadSwallowsSpace(const GgufFile& file) {
  SLUICE_ASSIGN_OR_RETURN(
      const absl::string_view name,
      ReadKey<absl::string_view>(file, "general.name", &GgufValue::AsString, ""));
  const std::string lower = absl::AsciiStrToLower(name);
  return absl::StrContains(lower, "phi-3") || absl::StrContains(lower, "phi3");
}

// <0x41> is the byte 41; anything else stands for itself.
std::string BytePiece(absl::string_view text) {
  const bool formed = text.size() == 6 && absl::StartsWith(text, "<0x") && text[5] == '>' &&
                      absl::ascii_isxdigit(static_cast<unsigned char>(text[3])) &&
                      absl::ascii_isxdigit(static_cast<unsigned char>(text[4]));
  return formed ? absl::HexStringToBytes(text.substr(3, 2)) : std::string(text);
}

}  // namespace

Tokenizer::Tokenizer() = default;
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const GgufFile& file,
                                                           Warnings* warnings) {
  std::unique_ptr<Tokenizer> result(new Tokenizer());
  SLUICE_ASSIGN_OR_RETURN(result->vocabulary_, Vocabulary::Load(file, warnings));
  const Vocabulary& vocabulary = *result->vocabulary_;
  SLUICE_ASSIGN_OR_RETURN(const bool swallows_space, ReadSwallowsSpace(file));
  result->special_ = std::make_unique<const SpecialTokens>(vocabulary, swallows_space);
  bool adds_bos = true;
  if (vocabulary.model() == Vocabulary::Model::kSentencePiece) {
    SLUICE_ASSIGN_OR_RETURN(result->adds_space_,
                            ReadKey<bool>(file, kAddSpaceKey, &GgufValue::AsBool, true));
    result->codec_ = std::make_unique<const SpmCodec>(vocabulary, result->adds_space_);
  } else {
    SLUICE_ASSIGN_OR_RETURN(const PreTokenizerKind* kind, ReadPreTokenizerKind(file, warnings));
    SLUICE_ASSIGN_OR_RETURN(result->codec_, BpeCodec::Load(file, vocabulary, *kind, warnings));
    adds_bos = kind->adds_bos;
    result->tidies_spaces_ = kind->tidies_spaces;
  }
  SLUICE_ASSIGN_OR_RETURN(result->adds_bos_,
                          ReadAdds(file, kAddBosKey, adds_bos, vocabulary.bos(), warnings));
  SLUICE_ASSIGN_OR_RETURN(result->adds_eos_,
                          ReadAdds(file, kAddEosKey, false, vocabulary.eos(), warnings));
  return result;
}

std::vector<TokenId> Tokenizer::Encode(absl::string_view text,
                                       const TokenizeOptions& options) const {
  std::vector<TokenId> ids;
  if (options.add_special && adds_bos_) ids.push_back(bos());
  bool after_special = true;
  for (const Fragment& fragment : special_->Split(text, options.parse_special)) {
    if (fragment.id == kNoToken) {
      codec_->Encode(fragment.text, after_special, &ids);
    } else {
      ids.push_back(fragment.id);
    }
    after_special = fragment.id != kNoToken;
  }
  if (options.add_special && adds_eos_) ids.push_back(eos());
  return ids;
}

std::string Tokenizer::Piece(TokenId id, bool special) const {
  const absl::string_view text = Text(id);
  switch (Type(id)) {
    case TokenType::kNormal:
      return codec_->Decode(text);
    case TokenType::kUserDefined:
      return std::string(text);
    case TokenType::kUnknown:
    case TokenType::kControl:
      return special ? std::string(text) : "";
    case TokenType::kByte:
      return BytePiece(text);
    case TokenType::kUndefined:
    case TokenType::kUnused:
      break;
  }
  return "";
}

std::string Tokenizer::Decode(absl::Span<const TokenId> ids, const DecodeOptions& options) const {
  StreamingDecoder decoder(*this, options);
  std::string text;
  for (const TokenId id : ids) text += decoder.Push(id);
  return text + decoder.Finish();
}

std::string Tokenizer::Detokenize(absl::Span<const TokenId> ids,
                                  const DecodeOptions& options) const {
  DecodeOptions adapted = options;
  if (!ids.empty() && Piece(ids[0], options.special).empty()) adapted.continues = true;
  std::string text = Decode(ids, adapted);
  return tidies_spaces_ ? TidySpaces(text) : text;
}

int64_t Tokenizer::size() const { return vocabulary_->size(); }
TokenId Tokenizer::Find(absl::string_view text) const { return vocabulary_->Find(text); }
absl::string_view Tokenizer::Text(TokenId id) const {
  return vocabulary_->Has(id) ? vocabulary_->Text(id) : "";
}
TokenType Tokenizer::Type(TokenId id) const {
  return vocabulary_->Has(id) ? vocabulary_->Type(id) : TokenType::kUndefined;
}
TokenId Tokenizer::bos() const { return vocabulary_->bos(); }
TokenId Tokenizer::eos() const { return vocabulary_->eos(); }
bool Tokenizer::IsEndOfGeneration(TokenId id) const { return vocabulary_->EndsGeneration(id); }

StreamingDecoder::StreamingDecoder(const Tokenizer& tokenizer, const DecodeOptions& options)
    : tokenizer_(tokenizer),
      special_(options.special),
      strip_space_(tokenizer.adds_space() && !options.continues) {}

std::string StreamingDecoder::Push(TokenId id) {
  std::string piece = tokenizer_.Piece(id, special_);
  if (piece.empty()) return piece;
  if (strip_space_ && piece[0] == ' ') piece.erase(0, 1);
  strip_space_ = false;
  std::string text = std::exchange(pending_, "") + piece;
  pending_ = text.substr(text.size() - UnfinishedUtf8(text));
  text.resize(text.size() - pending_.size());
  return text;
}

std::string StreamingDecoder::Finish() { return std::exchange(pending_, ""); }

}  // namespace sluice
