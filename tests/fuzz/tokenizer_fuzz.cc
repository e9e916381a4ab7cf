// libFuzzer target: any bytes are encoded and decoded without loss, at once or as a stream, and
// any ids are decoded.
// The seed corpus is tests/data/tokenizer.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "models/text/pretokenizer.h"
#include "models/text/tokenizer.h"
#include "models/unicode/utf8.h"
#include "tests/support/fuzz_vocabulary.h"

namespace sluice {
namespace {

std::vector<PreTokenizer> AllPreTokenizers() {
  std::vector<PreTokenizer> all;
  for (const PreTokenizerKind& kind : PreTokenizerKinds()) {
    auto pre_tokenizer = PreTokenizer::Create(kind);
    Require(pre_tokenizer.ok(), "the expressions compile");
    all.push_back(*std::move(pre_tokenizer));
  }
  return all;
}

// Whether a well-formed character of `text` lies across `at`.
bool IsWithinCharacter(absl::string_view text, size_t at) {
  const size_t begun = UnfinishedUtf8(text.substr(0, at));
  if (begun == 0) return false;
  const absl::string_view rest = text.substr(at - begun);
  const size_t length = Utf8Length(rest[0]);
  return rest.size() >= length && UnfinishedUtf8(rest.substr(0, length - 1)) == length - 1 &&
         (static_cast<uint8_t>(rest[length - 1]) & 0xC0) == 0x80;
}

// The decoded text, after a check that a stream gives the same.
std::string Decode(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, bool special) {
  StreamingDecoder decoder(tokenizer, {.special = special, .continues = true});
  std::string streamed;
  std::string joined;
  std::vector<size_t> cuts;
  for (const TokenId id : ids) {
    streamed += decoder.Push(id);
    cuts.push_back(streamed.size());
    joined += tokenizer.Piece(id, special);
  }
  streamed += decoder.Finish();
  Require(streamed == joined, "the stream is the pieces, joined");
  for (const size_t cut : cuts) {
    Require(!IsWithinCharacter(joined, cut), "the stream splits no character");
  }
  Require(streamed == tokenizer.Decode(ids, {.special = special, .continues = true}),
          "the stream is the decoded whole");
  return tokenizer.Decode(ids, {.special = special});
}

std::string WithSpaces(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\u2581", " "}});
}

void CheckByteLevel(const Tokenizer& tokenizer, absl::string_view text, bool parse_special) {
  const auto ids = tokenizer.Encode(text, {.add_special = false, .parse_special = parse_special});
  Require(Decode(tokenizer, ids, /*special=*/true) == NormalizeUtf8(text),
          "byte-level decoding undoes encoding");
}

void CheckSentencePiece(const Tokenizer& tokenizer, absl::string_view text) {
  const auto ids = tokenizer.Encode(text, {.parse_special = false});
  Require(WithSpaces(Decode(tokenizer, ids, /*special=*/false)) == WithSpaces(text),
          "SentencePiece decoding undoes encoding");
  // With special tokens there is a space after each.
  Decode(tokenizer, tokenizer.Encode(text, {.parse_special = true}), /*special=*/true);
}

void CheckPreTokenizer(const PreTokenizer& pre_tokenizer, absl::string_view text) {
  const std::string normalized = NormalizeUtf8(text);
  std::string joined;
  for (const absl::string_view word : pre_tokenizer.Split(normalized)) {
    Require(!word.empty(), "words are not empty");
    joined.append(word.data(), word.size());
  }
  Require(joined == normalized, "words join to the text");
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;  // NOLINT(google-build-using-namespace): the entry point of one file
  static const FuzzVocabulary bpe = LoadVocabulary("tiny-bpe.vocab.gguf");
  static const FuzzVocabulary spm = LoadVocabulary("tiny-spm.vocab.gguf");
  static const std::vector<PreTokenizer> pre_tokenizers = AllPreTokenizers();
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  CheckByteLevel(*bpe.tokenizer, text, /*parse_special=*/false);
  CheckByteLevel(*bpe.tokenizer, text, /*parse_special=*/true);
  CheckSentencePiece(*spm.tokenizer, text);
  CheckPreTokenizer(pre_tokenizers[data[0] % pre_tokenizers.size()], text);

  std::vector<TokenId> ids;  // some of them out of range
  for (const char byte : text) ids.push_back(static_cast<uint8_t>(byte) * 3 - 10);
  for (const FuzzVocabulary* subject : {&bpe, &spm}) {
    Decode(*subject->tokenizer, ids, /*special=*/data[0] % 2 == 0);
  }
  return 0;
}
