#include "models/shapes/model_shape.h"

namespace sluice {
namespace {

constexpr NamedToken kQwenControl[] = {
    {151643, "<|endoftext|>"}, {151644, "<|im_start|>"}, {151645, "<|im_end|>"}};
constexpr VocabularyShape kQwenTokens = {.model = "gpt2",
                                         .pre_tokenizer = "qwen2",
                                         .bos = 151643,
                                         .eos = 151645,
                                         .adds_bos = false,
                                         .control = kQwenControl};

constexpr NamedToken kLlama3Control[] = {
    {128000, "<|begin_of_text|>"}, {128001, "<|end_of_text|>"}, {128009, "<|eot_id|>"}};
constexpr VocabularyShape kLlama3Tokens = {.model = "gpt2",
                                           .pre_tokenizer = "llama-bpe",
                                           .bos = 128000,
                                           .eos = 128009,
                                           .adds_bos = true,
                                           .control = kLlama3Control};

constexpr VocabularyShape kSentencePieceTokens = {
    .model = "llama", .pre_tokenizer = "", .bos = 1, .eos = 2, .adds_bos = true, .control = {}};

constexpr ModelShape kShapes[] = {
    {.name = "qwen3-0.6b",
     .title = "Qwen3-0.6B",
     .architecture = "qwen3",
     .source = "https://huggingface.co/Qwen/Qwen3-0.6B/blob/main/config.json",
     .parameters = 596'049'920,
     .layers = 28,
     .hidden = 1024,
     .feed_forward = 3072,
     .heads = 16,
     .kv_heads = 8,
     .head_length = 128,
     .vocabulary = 151'936,
     .context = 40'960,
     .rope_base = 1e6,
     .rms_eps = 1e-6,
     .tied_output = true,
     .head_norms = true,
     .rope_factors = false,
     .tokens = &kQwenTokens},
    {.name = "qwen3-30b-a3b",
     .title = "Qwen3-30B-A3B",
     .architecture = "qwen3moe",
     .source = "https://huggingface.co/Qwen/Qwen3-30B-A3B/blob/main/config.json",
     .parameters = 30'532'122'624,
     .layers = 48,
     .hidden = 2048,
     .feed_forward = 6144,
     .heads = 32,
     .kv_heads = 4,
     .head_length = 128,
     .vocabulary = 151'936,
     .context = 40'960,
     .rope_base = 1e6,
     .rms_eps = 1e-6,
     .tied_output = false,
     .head_norms = true,
     .rope_factors = false,
     .experts = 128,
     .experts_used = 8,
     .expert_feed_forward = 768,
     .tokens = &kQwenTokens},
    {.name = "llama-3.2-1b",
     .title = "Llama-3.2-1B",
     .architecture = "llama",
     .source = "https://huggingface.co/meta-llama/Llama-3.2-1B/blob/main/config.json",
     .parameters = 1'235'814'400,
     .layers = 16,
     .hidden = 2048,
     .feed_forward = 8192,
     .heads = 32,
     .kv_heads = 8,
     .head_length = 64,
     .vocabulary = 128'256,
     .context = 131'072,
     .rope_base = 5e5,
     .rms_eps = 1e-5,
     .tied_output = true,
     .head_norms = false,
     .rope_factors = true,
     .tokens = &kLlama3Tokens},
    {.name = "mixtral-8x7b",
     .title = "Mixtral-8x7B-v0.1",
     .architecture = "llama",
     .source = "https://huggingface.co/mistralai/Mixtral-8x7B-v0.1/blob/main/config.json",
     .parameters = 46'702'792'704,
     .layers = 32,
     .hidden = 4096,
     .feed_forward = 14'336,
     .heads = 32,
     .kv_heads = 8,
     .head_length = 128,
     .vocabulary = 32'000,
     .context = 32'768,
     .rope_base = 1e6,
     .rms_eps = 1e-5,
     .tied_output = false,
     .head_norms = false,
     .rope_factors = false,
     .experts = 8,
     .experts_used = 2,
     .expert_feed_forward = 14'336,
     .tokens = &kSentencePieceTokens},
};

}  // namespace

absl::Span<const ModelShape> ModelShapes() { return kShapes; }

const ModelShape* FindModelShape(absl::string_view name) {
  for (const ModelShape& shape : kShapes) {
    if (shape.name == name) return &shape;
  }
  return nullptr;
}

}  // namespace sluice
