// libFuzzer target: any text is recognised or refused, and whatever messages say, what a family
// makes of them has just its own marks.
// The seed corpus is tests/data/tokenizer.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "models/text/chat_template.h"
#include "tests/support/fuzz_vocabulary.h"

namespace sluice {
namespace {

int64_t CountControls(const Tokenizer& tokenizer, const std::vector<TextPiece>& pieces) {
  const std::vector<TokenId> ids = tokenizer.EncodePieces(pieces);
  return std::count_if(ids.begin(), ids.end(),
                       [&](TokenId id) { return tokenizer.Type(id) == TokenType::kControl; });
}

// Three messages that say `text`.
std::vector<TextPiece> Render(const ChatTemplate& chat_template, const std::string& text) {
  return chat_template.Render(
      {{ChatRole::kSystem, text}, {ChatRole::kUser, text}, {ChatRole::kAssistant, text}},
      /*invites=*/true);
}

void CheckRendering(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                    const std::string& text) {
  const std::vector<TextPiece> pieces = Render(chat_template, text);
  for (const TextPiece& piece : pieces) {
    Require(piece.is_markup || absl::StrContains(text, piece.text),
            "what is no mark-up was said by someone");
  }
  Require(
      CountControls(tokenizer, pieces) == CountControls(tokenizer, Render(chat_template, "said")),
      "messages hold no marks");
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;  // NOLINT(google-build-using-namespace): the entry point of one file
  static const FuzzVocabulary bpe = LoadVocabulary("tiny-bpe.vocab.gguf");
  static const FuzzVocabulary spm = LoadVocabulary("tiny-spm.vocab.gguf");
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto recognised = ChatTemplate::Recognise(text);
  const auto& family = ChatFamilies()[data[0] % ChatFamilies().size()];
  const auto named = ChatTemplate::Named(family.name);
  Require(named.ok(), "every family has its name");
  for (const FuzzVocabulary* subject : {&bpe, &spm}) {
    CheckRendering(*named, *subject->tokenizer, text);
    if (recognised.ok()) CheckRendering(*recognised, *subject->tokenizer, text);
  }
  return 0;
}
