#include "models/shapes/synthetic_vocabulary.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "models/files/token.h"
#include "models/files/tokenizer_keys.h"
#include "models/text/bpe.h"

namespace sluice {
namespace {

constexpr int64_t kLetters = 26;
constexpr int64_t kBytes = 256;

// 1 is a, 26 z, 27 aa: the letters' numbers in base 26 without a zero. Without its last letter a
// word is an earlier word.
std::string Word(int64_t number) {
  std::string reversed;
  for (; number > 0; number = (number - 1) / kLetters) {
    reversed += static_cast<char>('a' + (number - 1) % kLetters);
  }
  return {reversed.rbegin(), reversed.rend()};
}

struct Tokens {
  std::vector<std::string> texts;
  std::vector<int32_t> types;
  std::vector<std::string> merges;

  void Add(std::string text, TokenType type) {
    texts.push_back(std::move(text));
    types.push_back(static_cast<int32_t>(type));
  }
  void AddWord(const std::string& word) {
    const absl::string_view text = word;
    const size_t last = text.size() - 1;
    if (last > 0) merges.push_back(absl::StrCat(text.substr(0, last), " ", text.substr(last)));
    Add(word, TokenType::kNormal);
  }
};

Tokens ByteLevelTokens() {
  Tokens tokens;
  for (int64_t byte = 0; byte < kBytes; ++byte) {
    tokens.Add(ByteLevelText(static_cast<uint8_t>(byte)), TokenType::kNormal);
  }
  return tokens;
}

Tokens SentencePieceTokens() {
  Tokens tokens;
  tokens.Add("<unk>", TokenType::kUnknown);
  tokens.Add("<s>", TokenType::kControl);
  tokens.Add("</s>", TokenType::kControl);
  for (int64_t byte = 0; byte < kBytes; ++byte) {
    tokens.Add(absl::StrFormat("<0x%02X>", byte), TokenType::kByte);
  }
  tokens.Add("\u2581", TokenType::kNormal);  // stands for a space
  return tokens;
}

// Fills up with words; control tokens take the ids that they name.
void AddWords(const VocabularyShape& shape, int64_t first_word, int64_t size, Tokens* tokens) {
  for (int64_t word = first_word; static_cast<int64_t>(tokens->texts.size()) < size;) {
    const auto control =
        std::find_if(shape.control.begin(), shape.control.end(), [&](const NamedToken& token) {
          return static_cast<size_t>(token.id) == tokens->texts.size();
        });
    if (control != shape.control.end()) {
      tokens->Add(std::string(control->text), TokenType::kControl);
    } else {
      tokens->AddWord(Word(word++));
    }
  }
}

}  // namespace

void SetSyntheticVocabulary(const VocabularyShape& shape, int64_t size, GgufWriter* writer) {
  const bool byte_level = shape.model == "gpt2";
  Tokens tokens = byte_level ? ByteLevelTokens() : SentencePieceTokens();
  // Single letters are bytes already in a byte-level vocabulary.
  AddWords(shape, byte_level ? kLetters + 1 : 1, size, &tokens);
  writer->SetString(kModelKey, shape.model);
  if (!shape.pre_tokenizer.empty()) writer->SetString(kPreKey, shape.pre_tokenizer);
  writer->SetStrings(kTokensKey, tokens.texts);
  writer->SetI32s(kTypesKey, tokens.types);
  if (byte_level) {
    writer->SetStrings(kMergesKey, tokens.merges);
  } else {
    // Earlier words are preferred, as in a real vocabulary.
    std::vector<float> scores(tokens.texts.size());
    for (size_t i = 0; i < scores.size(); ++i) scores[i] = -static_cast<float>(i);
    writer->SetF32s(kScoresKey, scores);
  }
  for (const auto& [key, id] : {std::pair("tokenizer.ggml.bos_token_id", shape.bos),
                                std::pair("tokenizer.ggml.eos_token_id", shape.eos)}) {
    if (id < size) writer->SetU32(key, static_cast<uint32_t>(id));
  }
  writer->SetBool(kAddBosKey, shape.adds_bos && shape.bos < size);
}

}  // namespace sluice
