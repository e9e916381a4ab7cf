#include "models/text/pretokenizer.h"

#include <algorithm>

namespace sluice {
namespace {

// In these expressions `\s` stands only inside classes; PreTokenizer says what it means.

constexpr absl::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|[\s]+(?![^\s])|[\s]+)";

constexpr absl::string_view kGpt2Patterns[] = {kGpt2};
constexpr absl::string_view kStarcoderPatterns[] = {R"(\p{N})", kGpt2};
constexpr absl::string_view kFalconPatterns[] = {R"([\p{P}$+<=>^~|`]+)", kGpt2, "[0-9][0-9][0-9]"};
constexpr absl::string_view kDefaultPatterns[] = {R"([\p{P}$+<=>^~|]+)", kGpt2, R"(\p{N}+)",
                                                  "[0-9][0-9][0-9]"};

// Contractions are spelled out in both cases: caseless matching would take U+017F for an s.
constexpr absl::string_view kLlama3Patterns[] = {
    R"('(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"};
constexpr absl::string_view kQwen2Patterns[] = {
    R"('(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"};
// Those of qwen2, but combining marks belong to words.
constexpr absl::string_view kQwen35Patterns[] = {
    R"('(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
    R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"};
constexpr absl::string_view kSeedCoderPatterns[] = {
    R"('(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}\r\n]+|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"};

// Beyond ASCII, every letter counts as upper and as lower case here.
constexpr absl::string_view kTekkenPatterns[] = {
    R"([^\r\n\p{L}\p{N}]?(?:(?![a-z])\p{L})*(?:(?![A-Z])\p{L})+|)"
    R"([^\r\n\p{L}\p{N}]?(?:(?![a-z])\p{L})+(?:(?![A-Z])\p{L})*|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"};
constexpr absl::string_view kGpt4oPatterns[] = {
    R"([^\r\n\p{L}\p{N}]?(?:(?![a-z])\p{L})*(?:(?![A-Z])\p{L})+)"
    R"((?:'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL]))?|)"
    R"([^\r\n\p{L}\p{N}]?(?:(?![a-z])\p{L})+(?:(?![A-Z])\p{L})*)"
    R"((?:'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL]))?|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"};

constexpr absl::string_view kDeepseekCoderPatterns[] = {
    R"([\r\n])", R"([\s]?\p{L}+)", R"([\s]?\p{P}+)",
    R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)", R"(\p{N})"};
constexpr absl::string_view kDeepseek3Patterns[] = {
    R"(\p{N}{1,3})", R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"};
// The second is nearly the cased letters, but not quite. In the fourth, the lookbehind only keeps
// the search from trying every place in a run of spaces.
constexpr absl::string_view kDeepseekLlmPatterns[] = {
    R"([\r\n])",
    R"([\s]?[)"
    R"(A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293})"
    R"(\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A})"
    R"(\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556})"
    R"(\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF})"
    R"(\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D})"
    R"(\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D})"
    R"(\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4})"
    R"(\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4})"
    R"(\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124})"
    R"(\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F})"
    R"(\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"
    R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F})"
    R"(\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17})"
    R"(\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3})"
    R"(\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF})"
    R"(\x{1E900}-\x{1E943})"
    R"(]+)",
    R"([\s]?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)",
    R"((?<![\s])[\s]+\z)",
    R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)",
    R"(\p{N}+)"};

// Several names stand for one set of expressions; the rest of an entry can differ.
constexpr PreTokenizerKind kKinds[] = {
    {.name = kDefaultPreTokenizer, .patterns = kDefaultPatterns},
    {.name = "gpt-2", .patterns = kGpt2Patterns},
    {.name = "phi-2", .patterns = kGpt2Patterns},
    {.name = "mpt", .patterns = kGpt2Patterns},
    {.name = "olmo", .patterns = kGpt2Patterns},
    {.name = "jais", .patterns = kGpt2Patterns},
    {.name = "gigachat", .patterns = kGpt2Patterns},
    {.name = "mellum", .patterns = kGpt2Patterns},
    {.name = "a.x-4.0", .patterns = kGpt2Patterns},
    {.name = "jina-de", .patterns = kGpt2Patterns},
    {.name = "jina-es", .patterns = kGpt2Patterns},
    {.name = "exaone4", .patterns = kGpt2Patterns},
    {.name = "trillion", .patterns = kGpt2Patterns, .tidies_spaces = false},
    {.name = "granite-docling", .patterns = kGpt2Patterns, .tidies_spaces = false},
    {.name = "starcoder", .patterns = kStarcoderPatterns},
    {.name = "refact", .patterns = kStarcoderPatterns},
    {.name = "codeshell", .patterns = kStarcoderPatterns},
    {.name = "exaone", .patterns = kStarcoderPatterns},
    {.name = "minerva-7b", .patterns = kStarcoderPatterns},
    {.name = "mellum2", .patterns = kStarcoderPatterns},
    {.name = "command-r", .patterns = kStarcoderPatterns, .tidies_spaces = false},
    {.name = "smollm", .patterns = kStarcoderPatterns, .tidies_spaces = false},
    {.name = "falcon", .patterns = kFalconPatterns},
    {.name = "llama-bpe", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "llama-v3", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "llama3", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "falcon3", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "falcon-h1", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "pixtral", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "lfm2", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "midm-2.0", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "jina-v5-nano", .patterns = kLlama3Patterns, .whole_words = true, .adds_bos = true},
    {.name = "smaug-bpe", .patterns = kLlama3Patterns},
    {.name = "dbrx", .patterns = kLlama3Patterns},
    {.name = "chatglm-bpe", .patterns = kLlama3Patterns},
    {.name = "glm4", .patterns = kLlama3Patterns},
    {.name = "qwen2", .patterns = kQwen2Patterns, .tidies_spaces = false},
    {.name = "qwen35", .patterns = kQwen35Patterns, .tidies_spaces = false},
    {.name = "deepseek-r1-qwen", .patterns = kQwen2Patterns, .tidies_spaces = false},
    {.name = "hunyuan", .patterns = kQwen2Patterns, .tidies_spaces = false},
    {.name = "grok-2", .patterns = kQwen2Patterns, .tidies_spaces = false},
    {.name = "kormo", .patterns = kQwen2Patterns, .tidies_spaces = false},
    {.name = "f2llmv2", .patterns = kQwen2Patterns, .tidies_spaces = false},
    {.name = "solar-open", .patterns = kQwen2Patterns, .tidies_spaces = false},
    {.name = "stablelm2", .patterns = kQwen2Patterns},
    {.name = "megrez", .patterns = kQwen2Patterns},
    {.name = "seed-coder", .patterns = kSeedCoderPatterns, .tidies_spaces = false},
    {.name = "tekken",
     .patterns = kTekkenPatterns,
     .whole_words = true,
     .adds_bos = true,
     .tidies_spaces = false},
    {.name = "gpt-4o", .patterns = kGpt4oPatterns, .tidies_spaces = false},
    {.name = "llama4", .patterns = kGpt4oPatterns, .tidies_spaces = false},
    {.name = "kanana2", .patterns = kGpt4oPatterns, .tidies_spaces = false},
    {.name = "talkie", .patterns = kGpt4oPatterns, .tidies_spaces = false},
    {.name = "minimax-m2", .patterns = kGpt4oPatterns, .tidies_spaces = false},
    {.name = "deepseek-llm", .patterns = kDeepseekLlmPatterns, .tidies_spaces = false},
    {.name = "deepseek-coder", .patterns = kDeepseekCoderPatterns, .tidies_spaces = false},
    {.name = "deepseek-v3", .patterns = kDeepseek3Patterns, .tidies_spaces = false},
    {.name = "hunyuan-dense", .patterns = kDeepseek3Patterns, .tidies_spaces = false},
    {.name = "joyai-llm", .patterns = kDeepseek3Patterns, .tidies_spaces = false},
    {.name = "hy_v4", .patterns = kDeepseek3Patterns, .tidies_spaces = false},
};

// Names whose rules are not there yet, and the kind that cuts most texts alike.
struct Nearest {
  absl::string_view name, kind;
};
constexpr Nearest kNearest[] = {
    {"afmoe", "deepseek-v3"},
    {"bailingmoe", "qwen2"},
    {"bailingmoe2", "qwen2"},
    {"bloom", "gpt-2"},
    {"chameleon", "starcoder"},
    {"cohere2moe", "gpt-4o"},
    {"exaone-moe", "qwen2"},
    {"gemma4", kDefaultPreTokenizer},
    {"gpt3-finnish", "gpt-2"},
    {"granite-embed-multi-311m", kDefaultPreTokenizer},
    {"granite-embed-multi-97m", "gpt-4o"},
    {"jais-2", "smaug-bpe"},
    {"jina-v1-en", "gpt-2"},
    {"jina-v2-code", "gpt-2"},
    {"jina-v2-de", "gpt-2"},
    {"jina-v2-es", "gpt-2"},
    {"kimi-k2", "gpt-4o"},
    {"laguna", "qwen2"},
    {"llada-moe", "qwen2"},
    {"minicpm5", "smaug-bpe"},
    {"modern-bert", "gpt-2"},
    {"poro-chat", "gpt-2"},
    {"roberta-bpe", "gpt-2"},
    {"sarvam-moe", kDefaultPreTokenizer},
    {"spark2_5", "deepseek-v3"},
    {"superbpe", "starcoder"},
    {"tiny_aya", "gpt-4o"},
    {"ufakzeka", "qwen2"},
    {"viking", "starcoder"},
    {"whitespace", kDefaultPreTokenizer},
    {"youtu", "gpt-4o"},
};

}  // namespace

absl::Span<const PreTokenizerKind> PreTokenizerKinds() { return kKinds; }

const PreTokenizerKind* FindPreTokenizerKind(absl::string_view name) {
  for (const PreTokenizerKind& kind : kKinds) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

const PreTokenizerKind* NearestPreTokenizerKind(absl::string_view name) {
  for (const Nearest& nearest : kNearest) {
    if (nearest.name == name) return FindPreTokenizerKind(nearest.kind);
  }
  return nullptr;
}

absl::string_view SimilarPreTokenizerName(absl::string_view name) {
  constexpr size_t kLeast = 4;  // letters at the beginning that are the same
  absl::string_view best;
  size_t most = kLeast - 1;
  for (const PreTokenizerKind& kind : kKinds) {
    const auto differs =
        std::mismatch(name.begin(), name.end(), kind.name.begin(), kind.name.end());
    const auto same = static_cast<size_t>(differs.first - name.begin());
    if (same <= most) continue;
    most = same;
    best = kind.name;
  }
  return best;
}

}  // namespace sluice
