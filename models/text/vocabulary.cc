#include "models/text/vocabulary.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "graph/status_macros.h"
#include "models/files/tokenizer_keys.h"

namespace sluice {
namespace {

// Tokens that models end an answer with, by their text: files seldom name more than one of them.
constexpr absl::string_view kEndTexts[] = {
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<eos>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
};

// A control token by its text as well, but it ends an answer only where it is the eos token: other
// models write it as mark-up.
constexpr absl::string_view kEndTextIfEos = "</s>";

// Fill-in-the-middle: a file may name the token with the role (`key`, or `old_key` from before it
// was renamed); otherwise the first of `texts` that the vocabulary has is taken for it.
struct FillInRole {
  absl::string_view key;
  absl::string_view old_key;  // "": never had another name
  absl::Span<const absl::string_view> texts;
  bool ends_generation;
};
constexpr absl::string_view kPrefixTexts[] = {"<|fim_prefix|>",  "<fim-prefix>", "<fim_prefix>",
                                              "<｜fim▁begin｜>", "<PRE>",        "▁<PRE>",
                                              "<|code_prefix|>", "<|prefix|>"};
constexpr absl::string_view kSuffixTexts[] = {"<|fim_suffix|>",  "<fim-suffix>", "<fim_suffix>",
                                              "<｜fim▁hole｜>",  "<SUF>",        "▁<SUF>",
                                              "<|code_suffix|>", "<|suffix|>"};
constexpr absl::string_view kMiddleTexts[] = {"<|fim_middle|>",  "<fim-middle>", "<fim_middle>",
                                              "<｜fim▁end｜>",   "<MID>",        "▁<MID>",
                                              "<|code_middle|>", "<|middle|>"};
constexpr absl::string_view kPadTexts[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>",
                                           "[PAD]"};
constexpr absl::string_view kRepositoryTexts[] = {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>",
                                                  "<REPO>", "<reponame>"};
constexpr absl::string_view kSeparatorTexts[] = {"<|file_sep|>"};
constexpr FillInRole kFillInRoles[] = {
    {"tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id", kPrefixTexts, false},
    {"tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id", kSuffixTexts, false},
    {"tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id", kMiddleTexts, false},
    {"tokenizer.ggml.fim_pad_token_id", "", kPadTexts, true},
    {"tokenizer.ggml.fim_rep_token_id", "", kRepositoryTexts, true},
    {"tokenizer.ggml.fim_sep_token_id", "", kSeparatorTexts, true},
};

// tokenizer.ggml.model, and the ids of roles where the file names none: SentencePiece's own
// defaults, and those of BERT's vocabulary.
struct ModelKind {
  absl::string_view name;
  Vocabulary::Model model;
  TokenId unknown = kNoToken;
  TokenId bos = kNoToken;
  TokenId eos = kNoToken;
  TokenId separator = kNoToken;
};
constexpr ModelKind kModels[] = {
    {.name = "gpt2", .model = Vocabulary::Model::kBpe},
    {.name = "llama", .model = Vocabulary::Model::kSentencePiece, .unknown = 0, .bos = 1, .eos = 2},
    {.name = "bert",
     .model = Vocabulary::Model::kWordPiece,
     .unknown = 100,
     .bos = 101,
     .separator = 102},
};

// Tokens with the same oddity, which share a warning.
struct Oddity {
  int64_t count = 0;
  TokenId first = kNoToken;

  void Add(TokenId id) {
    if (count++ == 0) first = id;
  }
};

}  // namespace

// Fills a Vocabulary from a file, step by step.
class VocabularyReader {
 public:
  VocabularyReader(const WeightSource& file, std::vector<std::string>* warnings)
      : file_(file), warnings_(*warnings), result_(new Vocabulary()) {}

  absl::StatusOr<std::unique_ptr<Vocabulary>> Read() {
    SLUICE_RETURN_IF_ERROR(ReadModel());
    SLUICE_RETURN_IF_ERROR(ReadTexts());
    SLUICE_RETURN_IF_ERROR(ReadTypes());
    SLUICE_RETURN_IF_ERROR(ReadScores());
    IndexTexts();
    SLUICE_RETURN_IF_ERROR(ReadRoles());
    SLUICE_RETURN_IF_ERROR(ReadFillInRoles());
    RecognizeEnds();
    return std::move(result_);
  }

 private:
  absl::Status ReadModel();
  absl::Status ReadTexts();
  absl::Status ReadTypes();
  absl::Status ReadScores();
  void IndexTexts();
  absl::Status ReadRoles();
  absl::Status ReadFillInRoles();
  void RecognizeEnds();

  // The id that `key` names. `fallback` (kNoToken if out of range) without the key, and with a
  // warning where the key's id is out of range.
  absl::StatusOr<TokenId> ReadId(absl::string_view key, TokenId fallback);
  TokenId FindFirst(absl::Span<const absl::string_view> texts) const;
  void MarkControl(TokenId id) { result_->types_[static_cast<size_t>(id)] = TokenType::kControl; }
  void MarkEnd(TokenId id) {
    if (id != kNoToken) result_->ends_.insert(id);
  }
  void Report(const Oddity& oddity, absl::string_view what);

  const WeightSource& file_;
  std::vector<std::string>& warnings_;
  const ModelKind* kind_ = nullptr;  // once ReadModel has found it
  std::unique_ptr<Vocabulary> result_;
};

absl::Status VocabularyReader::ReadModel() {
  SLUICE_ASSIGN_OR_RETURN(
      const absl::string_view model,
      ReadKey<absl::string_view>(file_, kModelKey, &MetadataValue::AsString, "none"));
  if (model == "none" || model == "no_vocab") {
    return absl::NotFoundError(
        AboutKey(file_, kModelKey, "missing or 'none': the file has no vocabulary"));
  }
  kind_ = std::find_if(std::begin(kModels), std::end(kModels),
                       [model](const ModelKind& kind) { return kind.name == model; });
  if (kind_ == std::end(kModels)) {
    return absl::UnimplementedError(AboutKey(file_, kModelKey, "unknown kind of vocabulary '",
                                             Printable(model), "', expected gpt2, llama or bert"));
  }
  result_->model_ = kind_->model;
  return absl::OkStatus();
}

absl::Status VocabularyReader::ReadTexts() {
  if (file_.Find(kTokensKey) == nullptr) return KeyError(file_, kTokensKey, "missing");
  SLUICE_ASSIGN_OR_RETURN(result_->texts_, ReadKey<std::vector<absl::string_view>>(
                                               file_, kTokensKey, &MetadataValue::AsStrings, {}));
  const size_t count = result_->texts_.size();
  constexpr size_t kMost = std::numeric_limits<TokenId>::max();
  if (count == 0 || count > kMost) {
    return KeyError(file_, kTokensKey, "expected 1 to ", kMost, " tokens, got ", count);
  }
  return absl::OkStatus();
}

absl::Status VocabularyReader::ReadTypes() {
  const size_t count = result_->texts_.size();
  result_->types_.assign(count, TokenType::kNormal);
  if (file_.Find(kTypesKey) == nullptr) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(
      const std::vector<int64_t> types,
      ReadKey<std::vector<int64_t>>(file_, kTypesKey, &MetadataValue::AsInts, {}));
  if (types.size() < count) {
    return KeyError(file_, kTypesKey, "expected a type for each of ", count, " tokens, got ",
                    types.size());
  }
  for (size_t i = 0; i < count; ++i) {
    const bool known = types[i] > 0 && types[i] <= static_cast<int64_t>(TokenType::kByte);
    result_->types_[i] = known ? static_cast<TokenType>(types[i]) : TokenType::kUndefined;
  }
  return absl::OkStatus();
}

absl::Status VocabularyReader::ReadScores() {
  const size_t count = result_->texts_.size();
  if (file_.Find(kScoresKey) == nullptr) {
    if (result_->model_ == Vocabulary::Model::kSentencePiece) {
      warnings_.push_back(AboutKey(file_, kScoresKey,
                                   "missing: text may be cut into other tokens than in training"));
    }
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(result_->scores_, ReadKey<std::vector<float>>(
                                                file_, kScoresKey, &MetadataValue::AsFloats, {}));
  const std::vector<float>& scores = result_->scores_;
  if (scores.size() < count) {
    return KeyError(file_, kScoresKey, "expected a score for each of ", count, " tokens, got ",
                    scores.size());
  }
  const auto nan =
      std::find_if(scores.begin(), scores.end(), [](float s) { return std::isnan(s); });
  if (nan != scores.end()) {
    return KeyError(file_, kScoresKey, "element ", nan - scores.begin(), " is NaN");
  }
  return absl::OkStatus();
}

void VocabularyReader::IndexTexts() {
  Oddity empty;
  Oddity repeated;
  result_->ids_.reserve(result_->texts_.size());
  for (TokenId id = 0; id < result_->size(); ++id) {
    const absl::string_view text = result_->Text(id);
    if (text.empty()) {
      empty.Add(id);
    } else if (!result_->ids_.emplace(text, id).second) {
      repeated.Add(id);
    }
  }
  Report(empty, "are empty");
  Report(repeated, "repeat an earlier token");
}

absl::Status VocabularyReader::ReadRoles() {
  SLUICE_ASSIGN_OR_RETURN(result_->unknown_,
                          ReadId("tokenizer.ggml.unknown_token_id", kind_->unknown));
  SLUICE_ASSIGN_OR_RETURN(result_->bos_, ReadId("tokenizer.ggml.bos_token_id", kind_->bos));
  SLUICE_ASSIGN_OR_RETURN(result_->eos_, ReadId("tokenizer.ggml.eos_token_id", kind_->eos));
  if (kind_->model == Vocabulary::Model::kWordPiece) {
    // Spelled like this in the files.
    SLUICE_ASSIGN_OR_RETURN(result_->separator_,
                            ReadId("tokenizer.ggml.seperator_token_id", kind_->separator));
  }
  SLUICE_ASSIGN_OR_RETURN(const TokenId eot, ReadId("tokenizer.ggml.eot_token_id", kNoToken));
  SLUICE_ASSIGN_OR_RETURN(const TokenId eom, ReadId("tokenizer.ggml.eom_token_id", kNoToken));
  MarkEnd(result_->eos_);
  MarkEnd(eot);
  MarkEnd(eom);
  return absl::OkStatus();
}

absl::Status VocabularyReader::ReadFillInRoles() {
  for (const FillInRole& role : kFillInRoles) {
    TokenId id = kNoToken;
    if (!role.old_key.empty()) {
      SLUICE_ASSIGN_OR_RETURN(id, ReadId(role.old_key, kNoToken));
    }
    SLUICE_ASSIGN_OR_RETURN(id, ReadId(role.key, id));
    if (id == kNoToken) {
      id = FindFirst(role.texts);
      if (id != kNoToken) MarkControl(id);
    }
    if (role.ends_generation) MarkEnd(id);
  }
  return absl::OkStatus();
}

void VocabularyReader::RecognizeEnds() {
  for (const absl::string_view text : kEndTexts) {
    const TokenId id = result_->Find(text);
    if (id == kNoToken) continue;
    MarkControl(id);
    MarkEnd(id);
  }
  const TokenId id = result_->Find(kEndTextIfEos);
  if (id != kNoToken) MarkControl(id);
}

absl::StatusOr<TokenId> VocabularyReader::ReadId(absl::string_view key, TokenId fallback) {
  if (!result_->Has(fallback)) fallback = kNoToken;
  SLUICE_ASSIGN_OR_RETURN(const int64_t id,
                          ReadKey<int64_t>(file_, key, &MetadataValue::AsInt, fallback));
  if (id == fallback) return fallback;
  if (id >= 0 && id < result_->size()) return static_cast<TokenId>(id);
  warnings_.push_back(
      AboutKey(file_, key, "ignored: ", id, " is not one of ", result_->size(), " tokens"));
  return fallback;
}

TokenId VocabularyReader::FindFirst(absl::Span<const absl::string_view> texts) const {
  for (const absl::string_view text : texts) {
    const TokenId id = result_->Find(text);
    if (id != kNoToken) return id;
  }
  return kNoToken;
}

void VocabularyReader::Report(const Oddity& oddity, absl::string_view what) {
  if (oddity.count == 0) return;
  warnings_.push_back(AboutKey(file_, kTokensKey, oddity.count, " tokens ", what,
                               ", so no text is encoded to them; the first is ", oddity.first, " '",
                               Printable(result_->Text(oddity.first)), "'"));
}

absl::StatusOr<std::unique_ptr<Vocabulary>> Vocabulary::Load(const WeightSource& file,
                                                             std::vector<std::string>* warnings) {
  return VocabularyReader(file, warnings).Read();
}

float Vocabulary::Score(TokenId id) const {
  return scores_.empty() ? 0.0F : scores_[static_cast<size_t>(id)];
}

TokenId Vocabulary::Find(absl::string_view text) const {
  const auto found = ids_.find(text);
  return found == ids_.end() ? kNoToken : found->second;
}

}  // namespace sluice
