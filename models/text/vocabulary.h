// The tokens of a model file: texts, kinds, scores and the ids with a role (begin, end, ...).
//
// Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, section Tokenizer. Where a file
// says nothing, the defaults are llama.cpp's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/files/token.h"
#include "models/files/weight_source.h"

namespace sluice {

class Vocabulary {
 public:
  enum class Model { kBpe, kSentencePiece, kWordPiece };  // gpt2, llama, bert in files

  // NotFound if the file has no vocabulary, Unimplemented for other models, InvalidArgument for
  // damage. Texts are views into `file`. `warnings` receives what was ignored.
  static absl::StatusOr<std::unique_ptr<Vocabulary>> Load(const WeightSource& file,
                                                          std::vector<std::string>* warnings);

  Model model() const { return model_; }
  int64_t size() const { return static_cast<int64_t>(texts_.size()); }
  bool Has(TokenId id) const { return id >= 0 && id < size(); }

  // Of an id that the vocabulary has. Types are the file's, but for tokens that are known by their
  // text to be control tokens, which many files get wrong.
  absl::string_view Text(TokenId id) const { return texts_[static_cast<size_t>(id)]; }
  TokenType Type(TokenId id) const { return types_[static_cast<size_t>(id)]; }
  float Score(TokenId id) const;  // not NaN; 0 where the file has no scores

  // The token with this text, kNoToken if there is none. Of duplicates, the first.
  TokenId Find(absl::string_view text) const;

  // kNoToken where there is none.
  TokenId bos() const { return bos_; }
  TokenId eos() const { return eos_; }
  TokenId unknown() const { return unknown_; }
  TokenId separator() const { return separator_; }  // of WordPiece only
  bool EndsGeneration(TokenId id) const { return ends_.contains(id); }

 private:
  friend class VocabularyReader;
  Vocabulary() = default;

  Model model_ = Model::kBpe;
  std::vector<absl::string_view> texts_;
  std::vector<TokenType> types_;
  std::vector<float> scores_;  // empty: all 0
  absl::flat_hash_map<absl::string_view, TokenId> ids_;
  TokenId bos_ = kNoToken;
  TokenId eos_ = kNoToken;
  TokenId unknown_ = kNoToken;
  TokenId separator_ = kNoToken;
  absl::flat_hash_set<TokenId> ends_;
};

}  // namespace sluice
