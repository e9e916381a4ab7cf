// Byte-level byte-pair encoding (tokenizer.ggml.model = gpt2).
//
// A. Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.2. A
// token's text stands for bytes, one printable character for each.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/files/weight_source.h"
#include "models/text/pretokenizer.h"
#include "models/text/symbol_merge.h"
#include "models/text/text_codec.h"
#include "models/text/vocabulary.h"

namespace sluice {

// The text that stands for one byte in the tokens of a byte-level vocabulary.
const std::string& ByteLevelText(uint8_t byte);

class BpeCodec : public TextCodec {
 public:
  // Reads tokenizer.ggml.merges. Merges of tokens that the vocabulary lacks are left out, with one
  // warning. Keeps a reference to `vocabulary`.
  static absl::StatusOr<std::unique_ptr<BpeCodec>> Load(const WeightSource& file,
                                                        const Vocabulary& vocabulary,
                                                        const PreTokenizerKind& kind,
                                                        std::vector<std::string>* warnings);

  // Bytes that are no UTF-8 become U+FFFD first (see NormalizeUtf8), as in llama.cpp: of other
  // text, Decode gives every byte back. Bytes without a token are dropped.
  void Encode(absl::string_view text, bool after_special, std::vector<TokenId>* ids) const override;
  std::string Decode(absl::string_view text) const override;

 private:
  BpeCodec(const Vocabulary& vocabulary, PreTokenizer pre_tokenizer, bool whole_words);
  // False if the vocabulary lacks one of the tokens.
  bool AddMerge(absl::string_view merge, double rank);
  void EncodeWord(absl::string_view word, std::vector<TokenId>* ids) const;

  const Vocabulary& vocabulary_;
  PreTokenizer pre_tokenizer_;
  bool whole_words_;
  std::array<TokenId, 256> byte_ids_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // by both ids; the cost is the rank
};

}  // namespace sluice
