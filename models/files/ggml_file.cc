#include "models/files/ggml_file.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "models/files/file_reader.h"
#include "models/files/token.h"
#include "models/files/tokenizer_keys.h"

namespace sluice {
namespace {

constexpr Magic kMagics[] = {{"lmgg", "ggml"}, {"fmgg", "ggmf"}, {"tjgg", "ggjt"}};

struct Container {
  uint32_t versions;  // 1 to this; 0: the file has no version
  bool has_scores;
  bool aligns_data;
};
constexpr Container kContainers[] = {
    // in the order of kMagics
    {.versions = 0, .has_scores = false, .aligns_data = false},
    {.versions = 1, .has_scores = true, .aligns_data = false},
    {.versions = 3, .has_scores = true, .aligns_data = true},
};
constexpr size_t kAlignment = 32;

constexpr uint64_t kMaxNameBytes = 63;
constexpr uint64_t kMaxTokenBytes = uint64_t{1} << 20;
constexpr size_t kMaxTensors = size_t{1} << 20;

// Which layouts of blocks a file has: 0 at first, 1 from ggjt 2 on (nibbles in another order), 2
// from ggjt 3 on (f16 scales for all). A file says so by its version or in thousands of ftype.
constexpr uint32_t kFileTypesPerLayout = 1000;
constexpr uint32_t kCurrentLayout = 2;

struct BlockLayout {
  DType dtype;      // its number has always been that of today
  uint32_t layout;  // the first that is today's
};
constexpr BlockLayout kBlockLayouts[] = {
    {DType::kF32, 0},  {DType::kF16, 0},  {DType::kQ4_0, 2}, {DType::kQ4_1, 2},
    {DType::kQ5_0, 1}, {DType::kQ5_1, 1}, {DType::kQ8_0, 2}, {DType::kQ2_K, 2},
    {DType::kQ3_K, 2}, {DType::kQ4_K, 2}, {DType::kQ5_K, 2}, {DType::kQ6_K, 2},
};

constexpr std::pair<absl::string_view, absl::string_view> kNames[] = {
    {"tok_embeddings.weight", "token_embd.weight"},
    {"norm.weight", "output_norm.weight"},
};
constexpr std::pair<absl::string_view, absl::string_view> kLayerNames[] = {
    {"attention_norm.weight", "attn_norm.weight"}, {"attention.wq.weight", "attn_q.weight"},
    {"attention.wk.weight", "attn_k.weight"},      {"attention.wv.weight", "attn_v.weight"},
    {"attention.wo.weight", "attn_output.weight"}, {"ffn_norm.weight", "ffn_norm.weight"},
    {"feed_forward.w1.weight", "ffn_gate.weight"}, {"feed_forward.w2.weight", "ffn_down.weight"},
    {"feed_forward.w3.weight", "ffn_up.weight"},
};

// A name that is not known stays as it is, for the warning of unused tensors.
std::string GgufName(absl::string_view name) {
  for (const auto& [old_name, new_name] : kNames) {
    if (name == old_name) return std::string(new_name);
  }
  absl::string_view rest = name;
  if (!absl::ConsumePrefix(&rest, "layers.")) return std::string(name);
  const absl::string_view layer = rest.substr(0, rest.find('.'));
  rest.remove_prefix(std::min(rest.size(), layer.size() + 1));
  for (const auto& [old_name, new_name] : kLayerNames) {
    if (rest == old_name) return absl::StrCat("blk.", layer, ".", new_name);
  }
  return std::string(name);
}

template <typename T>
std::string RawBytes(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}

struct Token {
  std::string text;
  TokenType type;
};

// As GGUF files have SentencePiece's tokens: byte tokens as <0x41>, spaces as U+2581. These files
// have both as they are.
Token TranslateToken(uint32_t id, absl::string_view text) {
  constexpr uint32_t kFirstByte = 3, kLastByte = 258;
  if (id == 0) return {"<unk>", TokenType::kUnknown};
  if (id == 1) return {"<s>", TokenType::kControl};
  if (id == 2) return {"</s>", TokenType::kControl};
  if (text.empty()) return {"", TokenType::kControl};
  if (id >= kFirstByte && id <= kLastByte && text.size() == 1) {
    return {absl::StrFormat("<0x%02X>", static_cast<unsigned char>(text[0])), TokenType::kByte};
  }
  return {absl::StrReplaceAll(text, {{" ", "\xE2\x96\x81"}}), TokenType::kNormal};
}

}  // namespace

// Fills a GgmlFile from its bytes, step by step.
class GgmlReader : private FileReader {
 public:
  GgmlReader(GgmlFile* file, const FileOptions& options)
      : FileReader(file->path(), file->bytes()), file_(*file), gqa_(options.gqa) {}

  absl::Status Parse() {
    SLUICE_RETURN_IF_ERROR(ReadVersion());
    SLUICE_RETURN_IF_ERROR(ReadHyperparameters());
    SLUICE_RETURN_IF_ERROR(ReadVocabulary());
    while (left() > 0) SLUICE_RETURN_IF_ERROR(ReadTensor());
    SLUICE_RETURN_IF_ERROR(CheckIsWhole());
    return AddKeys();
  }

 private:
  absl::Status ReadVersion();
  absl::Status ReadHyperparameters();
  absl::Status ReadLayout();
  absl::Status ReadVocabulary();
  absl::Status ReadTensor();
  absl::Status ReadShape(uint32_t dims, std::vector<int64_t>* shape);
  absl::StatusOr<DType> FindType(uint32_t id) const;
  absl::Status CheckIsWhole();
  absl::Status AddKeys();
  absl::StatusOr<uint32_t> KvHeads() const;

  // About the file as a whole.
  template <typename... Args>
  absl::Status FileError(const Args&... message) const {
    return absl::InvalidArgumentError(absl::StrCat(file_.path(), ": ", message...));
  }

  GgmlFile& file_;
  const int64_t gqa_;
  const Container* container_ = nullptr;
  uint32_t version_ = 0;
  uint32_t layout_ = 0;
  uint32_t vocabulary_ = 0, hidden_ = 0, heads_ = 0, layers_ = 0, rotated_ = 0, file_type_ = 0;
};

absl::Status GgmlReader::ReadVersion() {
  SLUICE_ASSIGN_OR_RETURN(const absl::string_view magic,
                          TakeText("the magic", kMagicBytes, kMagicBytes));
  const auto* const found = std::find_if(std::begin(kMagics), std::end(kMagics),
                                         [&](const Magic& known) { return known.bytes == magic; });
  if (found == std::end(kMagics)) return Error("unknown magic '", Printable(magic), "'");
  container_ = &kContainers[found - kMagics];
  file_.format_ = std::string(found->name);
  if (container_->versions == 0) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(version_, TakeNumber<uint32_t>("the version"));
  if (version_ < 1 || version_ > container_->versions) {
    return Error("unknown version ", version_, " of ", found->name, ", expected ",
                 container_->versions == 1 ? "" : "1 to ", container_->versions);
  }
  absl::StrAppend(&file_.format_, " ", version_);
  return absl::OkStatus();
}

absl::Status GgmlReader::ReadHyperparameters() {
  uint32_t multiple = 0;  // not needed: w1's shape says feed_forward_length
  for (const auto& [name, number] : {std::pair("n_vocab", &vocabulary_),
                                     {"n_embd", &hidden_},
                                     {"n_mult", &multiple},
                                     {"n_head", &heads_},
                                     {"n_layer", &layers_},
                                     {"n_rot", &rotated_},
                                     {"ftype", &file_type_}}) {
    SLUICE_ASSIGN_OR_RETURN(*number, TakeNumber<uint32_t>(name));
  }
  return ReadLayout();
}

absl::Status GgmlReader::ReadLayout() {
  constexpr uint32_t kLastFileType = 18;  // mostly q6_k
  layout_ = file_type_ / kFileTypesPerLayout;
  file_type_ %= kFileTypesPerLayout;
  if (layout_ > kCurrentLayout || file_type_ > kLastFileType) {
    return Error("unknown ftype ", layout_ * kFileTypesPerLayout + file_type_, ", expected 0 to ",
                 kLastFileType, "; only LLaMA models are known in files of this kind");
  }
  if (layout_ == 0 && version_ > 1) layout_ = version_ - 1;
  return absl::OkStatus();
}

absl::Status GgmlReader::ReadVocabulary() {
  const size_t min_record = sizeof(uint32_t) + (container_->has_scores ? sizeof(float) : 0);
  if (vocabulary_ > left() / min_record) {
    return Error("n_vocab ", vocabulary_, " exceeds the ", left() / min_record,
                 " tokens that fit into the ", left(), " bytes left");
  }
  std::string texts, types, scores;
  for (uint32_t id = 0; id < vocabulary_; ++id) {
    Enter("token", id);
    SLUICE_ASSIGN_OR_RETURN(const uint32_t length, TakeNumber<uint32_t>("the length"));
    SLUICE_ASSIGN_OR_RETURN(const absl::string_view text,
                            TakeText("the text", length, kMaxTokenBytes));
    const Token token = TranslateToken(id, text);
    absl::StrAppend(&texts, RawBytes(uint64_t{token.text.size()}), token.text);
    absl::StrAppend(&types, RawBytes(static_cast<int32_t>(token.type)));
    if (!container_->has_scores) continue;
    SLUICE_ASSIGN_OR_RETURN(const float score, TakeNumber<float>("the score"));
    absl::StrAppend(&scores, RawBytes(score));
  }
  file_.AddString(kModelKey, "llama");
  file_.AddArray(kTokensKey, MetadataType::kString, vocabulary_, std::move(texts));
  file_.AddArray(kTypesKey, MetadataType::kI32, vocabulary_, std::move(types));
  if (container_->has_scores) {
    file_.AddArray(kScoresKey, MetadataType::kF32, vocabulary_, std::move(scores));
  }
  return absl::OkStatus();
}

absl::Status GgmlReader::ReadTensor() {
  const size_t index = file_.tensors().size();
  Enter("tensor", index);
  if (index == kMaxTensors) return Error("the file has more than ", kMaxTensors, " tensors");
  SLUICE_ASSIGN_OR_RETURN(const uint32_t dims, TakeNumber<uint32_t>("the number of dimensions"));
  if (dims < 1 || dims > 2) return Error("the tensor has ", dims, " dimensions, expected 1 or 2");
  SLUICE_ASSIGN_OR_RETURN(const uint32_t length, TakeNumber<uint32_t>("the name length"));
  SLUICE_ASSIGN_OR_RETURN(const uint32_t type, TakeNumber<uint32_t>("the tensor type"));
  StoredTensor tensor;
  SLUICE_RETURN_IF_ERROR(ReadShape(dims, &tensor.shape));
  SLUICE_ASSIGN_OR_RETURN(const absl::string_view name, TakeName(length, kMaxNameBytes));
  tensor.name = GgufName(name);
  if (file_.FindTensor(tensor.name) != nullptr) return Error("duplicate tensor");
  SLUICE_ASSIGN_OR_RETURN(tensor.dtype, FindType(type));
  const int64_t elements = tensor.shape[0] * (dims == 2 ? tensor.shape[1] : 1);
  SLUICE_ASSIGN_OR_RETURN(tensor.bytes, SizeOf(tensor.dtype, tensor.shape.back(), elements));
  if (container_->aligns_data) {
    SLUICE_RETURN_IF_ERROR(Take("the padding", -pos() % kAlignment).status());
  }
  tensor.offset = static_cast<int64_t>(pos());
  SLUICE_RETURN_IF_ERROR(Take("the data", static_cast<uint64_t>(tensor.bytes)).status());
  file_.AddTensor(std::move(tensor));
  return absl::OkStatus();
}

absl::Status GgmlReader::ReadShape(uint32_t dims, std::vector<int64_t>* shape) {
  constexpr uint32_t kMax = std::numeric_limits<int32_t>::max();
  shape->resize(dims);
  for (uint32_t i = 0; i < dims; ++i) {
    SLUICE_ASSIGN_OR_RETURN(const uint32_t size, TakeNumber<uint32_t>("a dimension"));
    if (size < 1 || size > kMax) {
      return Error("dimension ", i, " is ", size, ", expected 1 to ", kMax);
    }
    (*shape)[dims - 1 - i] = size;
  }
  return absl::OkStatus();
}

absl::StatusOr<DType> GgmlReader::FindType(uint32_t id) const {
  for (const auto& [dtype, layout] : kBlockLayouts) {
    if (static_cast<uint32_t>(Info(dtype).ggml_id) != id) continue;
    if (layout_ >= layout) return dtype;
    return absl::UnimplementedError(
        About(Name(dtype), " of ", file_.format(), " is laid out otherwise than today's and not ",
              "supported: convert the model again from its original weights"));
  }
  return Error("unknown tensor type ", id);
}

// Parts of a model (NAME, NAME.1, ...) have all tensors, but only some of their rows or columns.
absl::Status GgmlReader::CheckIsWhole() {
  const StoredTensor* table = file_.FindTensor("token_embd.weight");
  if (table == nullptr) return FileError("tensor 'tok_embeddings.weight' is missing");
  const int64_t columns = table->shape.back();
  if (columns >= hidden_ || hidden_ % columns != 0) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat(file_.path(), ": this is one of ", hidden_ / columns,
                   " parts of a model, which are not supported: convert it to a single file"));
}

absl::StatusOr<uint32_t> GgmlReader::KvHeads() const {
  if (gqa_ != 0) {
    if (gqa_ > 0 && heads_ % gqa_ == 0) return static_cast<uint32_t>(heads_ / gqa_);
    return FileError("gqa ", gqa_, " is not a divisor of the model's ", heads_, " heads");
  }
  // A key projection has a row for each element of its heads; other shapes are refused with the
  // weights.
  const StoredTensor* keys = file_.FindTensor("blk.0.attn_k.weight");
  if (keys == nullptr || heads_ == 0 || hidden_ < heads_) return heads_;
  return static_cast<uint32_t>(keys->shape[0] / (hidden_ / heads_));
}

absl::Status GgmlReader::AddKeys() {
  const StoredTensor* gate = file_.FindTensor("blk.0.ffn_gate.weight");
  if (gate == nullptr) return FileError("tensor 'layers.0.feed_forward.w1.weight' is missing");
  SLUICE_ASSIGN_OR_RETURN(const uint32_t kv_heads, KvHeads());
  file_.AddString("general.architecture", "llama");
  for (const auto& [key, value] :
       {std::pair("general.file_type", file_type_),
        {"llama.context_length", 2048U},
        {"llama.embedding_length", hidden_},
        {"llama.block_count", layers_},
        {"llama.feed_forward_length", static_cast<uint32_t>(gate->shape[0])},
        {"llama.attention.head_count", heads_},
        {"llama.attention.head_count_kv", kv_heads},
        {"llama.rope.dimension_count", rotated_},
        {"tokenizer.ggml.unknown_token_id", 0U},
        {"tokenizer.ggml.bos_token_id", 1U},
        {"tokenizer.ggml.eos_token_id", 2U}}) {
    file_.AddNumber(key, MetadataType::kU32, value);
  }
  file_.AddNumber("llama.attention.layer_norm_rms_epsilon", MetadataType::kF32, 1e-5F);
  file_.AddNumber("llama.rope.freq_base", MetadataType::kF32, 10000.0F);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<GgmlFile>> GgmlFile::FromMapping(std::unique_ptr<MappedFile> mapping,
                                                                const FileOptions& options) {
  auto file = absl::WrapUnique(new GgmlFile(std::move(mapping)));
  SLUICE_RETURN_IF_ERROR(GgmlReader(file.get(), options).Parse());
  file->CopyUnalignedTensors();
  return file;
}

absl::StatusOr<std::unique_ptr<GgmlFile>> GgmlFile::FromMemory(absl::Span<const std::byte> bytes,
                                                               std::string name,
                                                               const FileOptions& options) {
  auto file = absl::WrapUnique(new GgmlFile(bytes, std::move(name)));
  SLUICE_RETURN_IF_ERROR(GgmlReader(file.get(), options).Parse());
  file->CopyUnalignedTensors();
  return file;
}

absl::Span<const std::byte> GgmlFile::Data(const StoredTensor& tensor) const {
  const auto copy = copies_.find(tensor.offset);
  return copy == copies_.end() ? WeightSource::Data(tensor) : absl::MakeSpan(copy->second);
}

void GgmlFile::CopyUnalignedTensors() {
  for (const StoredTensor& tensor : tensors()) {
    const absl::Span<const std::byte> data = WeightSource::Data(tensor);
    if (reinterpret_cast<uintptr_t>(data.data()) % kDataAlignment == 0) continue;
    copies_.emplace(tensor.offset, std::vector<std::byte>(data.begin(), data.end()));
    Release(data);
  }
}

void GgmlFile::AddString(absl::string_view key, absl::string_view text) {
  AddKey(key, MetadataValue(MetadataType::kString, Keep(std::string(text))));
}

template <typename T>
void GgmlFile::AddNumber(absl::string_view key, MetadataType type, T value) {
  AddKey(key, MetadataValue(type, Keep(RawBytes(value))));
}

void GgmlFile::AddArray(absl::string_view key, MetadataType element, size_t size,
                        std::string payload) {
  AddKey(key, MetadataValue::Array(element, static_cast<int64_t>(size), Keep(std::move(payload))));
}

absl::Span<const std::byte> GgmlFile::Keep(std::string payload) {
  const std::string& kept = payloads_.emplace_back(std::move(payload));
  return {reinterpret_cast<const std::byte*>(kept.data()), kept.size()};
}

namespace {

absl::StatusOr<std::unique_ptr<WeightSource>> OpenGgml(std::unique_ptr<MappedFile> mapping,
                                                       const FileOptions& options) {
  return GgmlFile::FromMapping(std::move(mapping), options);
}

}  // namespace

const FileFormat kGgmlFormat = {.magics = kMagics, .open = OpenGgml};

}  // namespace sluice
