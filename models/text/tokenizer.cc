#include "models/text/tokenizer.h"

#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "graph/status_macros.h"
#include "models/files/tokenizer_keys.h"
#include "models/text/bpe.h"
#include "models/text/pretokenizer.h"
#include "models/text/special_tokens.h"
#include "models/text/spm.h"
#include "models/text/text_codec.h"
#include "models/text/tidy_spaces.h"
#include "models/text/vocabulary.h"
#include "models/text/wordpiece.h"
#include "models/unicode/utf8.h"

namespace sluice {
namespace {

using Warnings = std::vector<std::string>;

absl::StatusOr<const PreTokenizerKind*> ReadPreTokenizerKind(const WeightSource& file,
                                                             Warnings* warnings) {
  SLUICE_ASSIGN_OR_RETURN(const absl::string_view name,
                          ReadKey<absl::string_view>(file, kPreKey, &MetadataValue::AsString, ""));
  const PreTokenizerKind* kind = FindPreTokenizerKind(name);
  if (kind != nullptr) return kind;
  const std::string quoted = absl::StrCat("'", Printable(name), "'");
  if (kind = NearestPreTokenizerKind(name); kind != nullptr) {
    warnings->push_back(AboutKey(file, kPreKey, "the rules of ", quoted,
                                 " are not supported: text is cut by those of the nearest, '",
                                 kind->name, "', so that token ids will differ from training"));
    return kind;
  }
  const std::string problem = name.empty() ? "missing" : "unknown pre-tokenizer " + quoted;
  const absl::string_view similar = SimilarPreTokenizerName(name);
  const std::string hint =
      similar.empty() ? ""
                      : absl::StrCat("; if '", similar, "' was meant, `sluice gguf --set ", kPreKey,
                                     "=", similar, "` writes a copy that says so");
  warnings->push_back(AboutKey(file, kPreKey, problem, ": text is cut by the rules of '",
                               kDefaultPreTokenizer,
                               "', so that token ids may differ from training", hint));
  return FindPreTokenizerKind(kDefaultPreTokenizer);
}

// Whether a token is added to every text. `token` is the one to add.
absl::StatusOr<bool> ReadAdds(const WeightSource& file, absl::string_view key, bool fallback,
                              TokenId token, Warnings* warnings) {
  SLUICE_ASSIGN_OR_RETURN(const bool adds,
                          ReadKey<bool>(file, key, &MetadataValue::AsBool, bool{fallback}));
  if (!adds || token != kNoToken) return adds;
  warnings->push_back(AboutKey(file, key, "ignored: the vocabulary has no such token"));
  return false;
}

absl::StatusOr<WordPieceOptions> ReadWordPieceOptions(const WeightSource& file) {
  WordPieceOptions options;
  SLUICE_ASSIGN_OR_RETURN(options.lower_case,
                          ReadKey<bool>(file, kLowerCaseKey, &MetadataValue::AsBool, true));
  // As in BERT's own tokenizer, accents go with the capitals unless said otherwise.
  SLUICE_ASSIGN_OR_RETURN(
      options.strip_accents,
      ReadKey<bool>(file, kStripAccentsKey, &MetadataValue::AsBool, bool{options.lower_case}));
  return options;
}

// Whether special tokens take the white space after them along, as the phi-3 vocabularies expect.
// No key says so, only the model's name.
absl::StatusOr<bool> ReadSwallowsSpace(const WeightSource& file) {
  SLUICE_ASSIGN_OR_RETURN(
      const absl::string_view name,
      ReadKey<absl::string_view>(file, "general.name", &MetadataValue::AsString, ""));
  const std::string lower = absl::AsciiStrToLower(name);
  return absl::StrContains(lower, "phi-3") || absl::StrContains(lower, "phi3");
}

// <0x41> is the byte 0x41; anything else stands for itself.
std::string BytePiece(absl::string_view text) {
  const bool formed = text.size() == 6 && absl::StartsWith(text, "<0x") && text[5] == '>' &&
                      absl::ascii_isxdigit(static_cast<unsigned char>(text[3])) &&
                      absl::ascii_isxdigit(static_cast<unsigned char>(text[4]));
  return formed ? absl::HexStringToBytes(text.substr(3, 2)) : std::string(text);
}

}  // namespace

Tokenizer::Tokenizer() = default;
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const WeightSource& file,
                                                           Warnings* warnings) {
  std::unique_ptr<Tokenizer> result(new Tokenizer());
  SLUICE_ASSIGN_OR_RETURN(result->vocabulary_, Vocabulary::Load(file, warnings));
  const Vocabulary& vocabulary = *result->vocabulary_;
  SLUICE_ASSIGN_OR_RETURN(const bool swallows_space, ReadSwallowsSpace(file));
  result->special_ = std::make_unique<const SpecialTokens>(vocabulary, swallows_space);
  SLUICE_RETURN_IF_ERROR(result->LoadCodec(file, warnings));
  SLUICE_RETURN_IF_ERROR(result->LoadAdded(file, warnings));
  return result;
}

absl::Status Tokenizer::LoadCodec(const WeightSource& file, Warnings* warnings) {
  switch (vocabulary_->model()) {
    case Vocabulary::Model::kSentencePiece: {
      adds_bos_ = true;
      SLUICE_ASSIGN_OR_RETURN(adds_space_,
                              ReadKey<bool>(file, kAddSpaceKey, &MetadataValue::AsBool, true));
      codec_ = std::make_unique<const SpmCodec>(*vocabulary_, adds_space_);
      break;
    }
    case Vocabulary::Model::kBpe: {
      SLUICE_ASSIGN_OR_RETURN(const PreTokenizerKind* kind, ReadPreTokenizerKind(file, warnings));
      SLUICE_ASSIGN_OR_RETURN(codec_, BpeCodec::Load(file, *vocabulary_, *kind, warnings));
      adds_bos_ = kind->adds_bos;
      tidies_spaces_ = kind->tidies_spaces;
      break;
    }
    case Vocabulary::Model::kWordPiece: {
      SLUICE_ASSIGN_OR_RETURN(const WordPieceOptions options, ReadWordPieceOptions(file));
      codec_ = std::make_unique<const WordPieceCodec>(*vocabulary_, options);
      tidies_spaces_ = true;
      break;
    }
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::LoadAdded(const WeightSource& file, Warnings* warnings) {
  if (vocabulary_->model() == Vocabulary::Model::kWordPiece) {
    adds_bos_ = bos() != kNoToken;
    end_ = vocabulary_->separator();
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(adds_bos_, ReadAdds(file, kAddBosKey, adds_bos_, bos(), warnings));
  SLUICE_ASSIGN_OR_RETURN(const bool adds_eos, ReadAdds(file, kAddEosKey, false, eos(), warnings));
  if (adds_eos) end_ = eos();
  return absl::OkStatus();
}

std::vector<TokenId> Tokenizer::Encode(absl::string_view text,
                                       const TokenizeOptions& options) const {
  const TextRange all = {0, text.size()};
  return EncodeMarked(text, absl::MakeConstSpan(&all, options.parse_special ? 1 : 0),
                      options.add_special);
}

std::vector<TokenId> Tokenizer::EncodePieces(absl::Span<const TextPiece> pieces,
                                             bool add_special) const {
  std::string text;
  std::vector<TextRange> markup;
  for (const TextPiece& piece : pieces) {
    if (piece.text.empty()) continue;
    const size_t begin = text.size();
    text += piece.text;
    if (!piece.is_markup) continue;
    if (!markup.empty() && markup.back().end == begin) {
      markup.back().end = text.size();
    } else {
      markup.push_back({begin, text.size()});
    }
  }
  return EncodeMarked(text, markup, add_special);
}

std::vector<TokenId> Tokenizer::EncodeMarked(absl::string_view text,
                                             absl::Span<const TextRange> markup,
                                             bool add_special) const {
  std::vector<TokenId> ids;
  if (add_special && adds_bos_) ids.push_back(bos());
  bool after_special = true;
  for (const Fragment& fragment : special_->Split(text, markup)) {
    if (fragment.id == kNoToken) {
      codec_->Encode(fragment.text, after_special, &ids);
    } else {
      ids.push_back(fragment.id);
    }
    after_special = fragment.id != kNoToken;
  }
  if (add_special && end_ != kNoToken) ids.push_back(end_);
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
