#include "tests/support/ggml_bytes.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "models/files/token.h"
#include "models/files/tokenizer_keys.h"
#include "tests/support/gguf_bytes.h"

namespace sluice {
namespace {

constexpr size_t kAlignment = 32;

uint32_t IntOf(const WeightSource& file, absl::string_view key) {
  return static_cast<uint32_t>(file.Find(key)->AsInt().value());
}

std::string GgmlName(absl::string_view name) {
  return absl::StrReplaceAll(name, {{"token_embd.", "tok_embeddings."},
                                    {"output_norm.", "norm."},
                                    {"blk.", "layers."},
                                    {"attn_norm.", "attention_norm."},
                                    {"attn_q.", "attention.wq."},
                                    {"attn_k.", "attention.wk."},
                                    {"attn_v.", "attention.wv."},
                                    {"attn_output.", "attention.wo."},
                                    {"ffn_gate.", "feed_forward.w1."},
                                    {"ffn_down.", "feed_forward.w2."},
                                    {"ffn_up.", "feed_forward.w3."}});
}

std::string GgmlText(absl::string_view text, TokenType type) {
  switch (type) {
    case TokenType::kUnknown:
      return " \xE2\x81\x87 ";
    case TokenType::kControl:
      return "";
    case TokenType::kByte:
      return absl::HexStringToBytes(text.substr(3, 2));
    default:
      return absl::StrReplaceAll(text, {{"\xE2\x96\x81", " "}});
  }
}

std::vector<GgmlToken> TokensOf(const WeightSource& file) {
  const auto texts = file.Find(kTokensKey)->AsStrings().value();
  const auto types = file.Find(kTypesKey)->AsInts().value();
  const auto scores = file.Find(kScoresKey)->AsFloats().value();
  std::vector<GgmlToken> tokens;
  for (size_t i = 0; i < texts.size(); ++i) {
    tokens.push_back({GgmlText(texts[i], static_cast<TokenType>(types[i])), scores[i]});
  }
  return tokens;
}

}  // namespace

std::string GgmlBytes::Build() const {
  std::string out = magic;
  const bool is_first_format = magic == "lmgg";
  if (!is_first_format) absl::StrAppend(&out, Le(version));
  const auto count = static_cast<uint32_t>(tokens.size());
  for (const uint32_t number : {count, hidden, 256U, heads, layers, rotated, file_type}) {
    absl::StrAppend(&out, Le(number));
  }
  for (const GgmlToken& token : tokens) {
    absl::StrAppend(&out, Le(static_cast<uint32_t>(token.text.size())), token.text);
    if (!is_first_format) absl::StrAppend(&out, Le(token.score));
  }
  for (const GgmlTensor& tensor : tensors) {
    absl::StrAppend(&out, Le(static_cast<uint32_t>(tensor.dims.size())),
                    Le(static_cast<uint32_t>(tensor.name.size())), Le(tensor.type));
    for (const uint32_t size : tensor.dims) absl::StrAppend(&out, Le(size));
    absl::StrAppend(&out, tensor.name);
    if (magic == "tjgg") out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment);
    absl::StrAppend(&out, tensor.data);
  }
  return out;
}

GgmlBytes ToGgml(const WeightSource& file) {
  GgmlBytes result{.hidden = IntOf(file, "llama.embedding_length"),
                   .heads = IntOf(file, "llama.attention.head_count"),
                   .layers = IntOf(file, "llama.block_count"),
                   .rotated = IntOf(file, "llama.rope.dimension_count"),
                   .tokens = TokensOf(file)};
  for (const StoredTensor& tensor : file.tensors()) {
    const absl::Span<const std::byte> data = file.Data(tensor);
    result.tensors.push_back(
        {.name = GgmlName(tensor.name),
         .dims = {tensor.shape.rbegin(), tensor.shape.rend()},
         .type = static_cast<uint32_t>(Info(tensor.dtype).ggml_id),
         .data = std::string(reinterpret_cast<const char*>(data.data()), data.size())});
  }
  return result;
}

}  // namespace sluice
