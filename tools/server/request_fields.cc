#include "tools/server/request_fields.h"

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/nearest_name.h"
#include "graph/status_macros.h"
#include "tools/server/api_error.h"

namespace sluice::server {
namespace {

constexpr FieldObjects kText = kChatBody | kCompletionBody;
constexpr FieldObjects kBodies = kText | kEmbeddingBody | kTokenizeBody | kDetokenizeBody;
constexpr FieldKind kActs = FieldKind::kActs, kHarmless = FieldKind::kHarmless,
                    kUnsupported = FieldKind::kUnsupported;

constexpr char kNoTools[] = "the model is not told of tools: describe them in a message";
constexpr char kNoTemplate[] = "the template is the model's own, or that of --chat-template";
constexpr char kNoThinking[] = "what the template does of itself is all there is";
constexpr char kSchemaOnly[] =
    "a JSON schema (response_format) or guided_choice constrains answers";
constexpr char kOtherSampler[] =
    "there are temperature, top_k, top_p, min_p, typical_p and the penalties";
constexpr char kNoMedia[] = "the model takes and writes text only";
constexpr char kWithLogprobs[] = "logprobs tells of tokens";

constexpr RequestField kFields[] = {
    // What is asked.
    {"messages", kChatBody, kActs, "", "", kMessage},
    {"prompt", kCompletionBody, kActs},
    {"input", kEmbeddingBody, kActs},
    {"content", kTokenizeBody, kActs},
    {"tokens", kDetokenizeBody, kActs},
    {"model", kBodies, kHarmless},
    {"stream", kText, kActs},
    {"stream_options", kText, kActs, "", "", kStreamOptions},
    {"return_progress", kText, kActs},
    {"sse_ping_interval", kText, kActs},
    {"n", kText, kActs},
    {"n_cmpl", kText, kActs},
    {"best_of", kText, kActs},
    {"logprobs", kText, kActs},
    {"top_logprobs", kChatBody, kActs},
    {"echo", kCompletionBody, kActs},
    {"encoding_format", kEmbeddingBody, kActs},
    {"dimensions", kEmbeddingBody, kActs},
    {"add_special", kTokenizeBody, kActs},
    {"parse_special", kTokenizeBody, kActs},
    // Where an answer ends.
    {"max_completion_tokens", kText, kActs},
    {"max_tokens", kText, kActs},
    {"n_predict", kText, kActs},
    {"stop", kText, kActs},
    {"stop_token_ids", kText, kActs},
    {"ignore_eos", kText, kActs},
    // How its tokens are chosen.
    {"temperature", kText, kActs},
    {"top_k", kText, kActs},
    {"top_p", kText, kActs},
    {"min_p", kText, kActs},
    {"typical_p", kText, kActs},
    {"repeat_penalty", kText, kActs},
    {"repetition_penalty", kText, kActs},
    {"repeat_last_n", kText, kActs},
    {"frequency_penalty", kText, kActs},
    {"presence_penalty", kText, kActs},
    {"logit_bias", kText, kActs},
    {"seed", kText, kActs},
    // What it must look like.
    {"response_format", kText, kActs, "", "", kResponseFormat},
    {"json_schema", kText, kActs},
    {"format", kText, kActs},
    {"guided_json", kText, kActs},
    {"guided_choice", kText, kActs},
    {"structured_outputs", kText, kActs, "", "", kStructuredOutputs},

    // Who asks, what it costs, what is kept, what is shown.
    {"user", kText | kEmbeddingBody, kHarmless},
    {"safety_identifier", kText, kHarmless},
    {"metadata", kText, kHarmless},
    {"store", kText, kHarmless},
    {"service_tier", kText, kHarmless},
    {"request_id", kText | kEmbeddingBody, kHarmless},
    {"priority", kText | kEmbeddingBody, kHarmless},
    {"keep_alive", kText | kEmbeddingBody, kHarmless},
    {"timings_per_token", kText, kHarmless},
    // How fast it comes.
    {"prediction", kChatBody, kHarmless},
    {"prompt_cache_key", kText, kHarmless},
    {"prompt_cache_retention", kText, kHarmless},
    {"prompt_cache_options", kText, kHarmless},
    {"cache_prompt", kText, kHarmless},
    {"n_cache_reuse", kText, kHarmless},
    {"id_slot", kText, kHarmless},
    {"backend_sampling", kText, kHarmless},
    {"speculative.n_min", kText, kHarmless},
    {"speculative.n_max", kText, kHarmless},
    {"speculative.p_min", kText, kHarmless},
    {"guided_decoding_backend", kText, kHarmless},
    // What counts only beside something that is refused, or never happens here.
    {"parallel_tool_calls", kChatBody, kHarmless},
    {"parse_tool_calls", kChatBody, kHarmless},
    {"n_keep", kText, kHarmless},
    {"n_discard", kText, kHarmless},
    {"mm_processor_kwargs", kText, kHarmless},
    {"media_io_kwargs", kText, kHarmless},
    {"spaces_between_special_tokens", kText, kHarmless},
    {"mirostat_tau", kText, kHarmless},
    {"mirostat_eta", kText, kHarmless},
    {"dynatemp_exponent", kText, kHarmless},
    {"dry_base", kText, kHarmless},
    {"dry_allowed_length", kText, kHarmless},
    {"dry_penalty_last_n", kText, kHarmless},
    {"dry_sequence_breakers", kText, kHarmless},
    {"xtc_threshold", kText, kHarmless},
    {"adaptive_decay", kText, kHarmless},

    // Tools, media and other services.
    {"tools", kChatBody, kUnsupported, "", kNoTools},
    {"tool_choice", kChatBody, kUnsupported, "\"none\",\"auto\"", kNoTools},
    {"functions", kChatBody, kUnsupported, "", kNoTools},
    {"function_call", kChatBody, kUnsupported, "\"none\",\"auto\"", kNoTools},
    {"web_search_options", kChatBody, kUnsupported, "",
     "nothing is looked up: put it in a message"},
    {"documents", kChatBody, kUnsupported, "", "put them in a message"},
    {"modalities", kChatBody, kUnsupported, "[\"text\"]", kNoMedia},
    {"audio", kChatBody, kUnsupported, "", kNoMedia},
    {"moderation", kChatBody, kUnsupported},
    {"verbosity", kChatBody, kUnsupported, "\"medium\"", "say in a message how long it may be"},
    // Templates and thinking.
    {"reasoning_effort", kText, kUnsupported, "\"medium\",\"auto\",\"default\"", kNoThinking},
    {"reasoning", kText, kUnsupported, "", kNoThinking},
    {"reasoning_format", kText, kUnsupported, "\"auto\",\"none\"", "thoughts stay in the text"},
    {"reasoning_budget", kText, kUnsupported, "-1", kNoThinking},
    {"reasoning_budget_tokens", kText, kUnsupported, "-1", kNoThinking},
    {"thinking_budget_tokens", kText, kUnsupported, "-1", kNoThinking},
    {"include_reasoning", kText, kUnsupported, "true", "thoughts stay in the text"},
    {"enable_thinking", kText, kUnsupported, "", kNoThinking},
    {"thinking", kText, kUnsupported, "", kNoThinking},
    {"think", kText, kUnsupported, "", kNoThinking},
    {"chat_template", kText, kUnsupported, "", kNoTemplate},
    {"chat_template_kwargs", kText, kUnsupported, "", kNoTemplate},
    {"add_generation_prompt", kChatBody, kUnsupported, "true",
     "/v1/completions continues any text"},
    {"continue_final_message", kChatBody, kUnsupported, "false",
     "/v1/completions continues any text"},
    {"echo", kChatBody, kUnsupported, "false", "the last message is known to the client"},
    {"add_special_tokens", kChatBody, kUnsupported, "false", kNoTemplate},
    {"add_special_tokens", kCompletionBody | kEmbeddingBody, kUnsupported, "true",
     "give the prompt as token ids"},
    {"suffix", kCompletionBody, kUnsupported, "", "text cannot be inserted"},
    {"truncate_prompt_tokens", kText | kEmbeddingBody, kUnsupported, "",
     "shorten the prompt by /tokenize"},
    // Other constraints.
    {"grammar", kText, kUnsupported, "", kSchemaOnly},
    {"grammar_lazy", kText, kUnsupported, "false", kSchemaOnly},
    {"grammar_triggers", kText, kUnsupported, "", kSchemaOnly},
    {"guided_regex", kText, kUnsupported, "", kSchemaOnly},
    {"guided_grammar", kText, kUnsupported, "", kSchemaOnly},
    {"guided_whitespace_pattern", kText, kUnsupported, "", "blanks are bounded of themselves"},
    {"structural_tag", kText, kUnsupported, "", kSchemaOnly},
    {"allowed_token_ids", kText, kUnsupported, "", "logit_bias rules tokens out"},
    {"bad_words", kText, kUnsupported, "", "logit_bias rules tokens out"},
    {"min_tokens", kText, kUnsupported, "0", "ignore_eos goes on until max_tokens"},
    {"include_stop_str_in_output", kText, kUnsupported, "false", "stop strings are known"},
    {"skip_special_tokens", kText, kUnsupported, "true", "logprobs shows them"},
    {"detokenize", kText, kUnsupported, "true", kWithLogprobs},
    {"n_indent", kText, kUnsupported, "0", kSchemaOnly},
    {"t_max_predict_ms", kText, kUnsupported, "0,-1", "close the connection, or use max_tokens"},
    // Other ways to choose tokens.
    {"mirostat", kText, kUnsupported, "0", kOtherSampler},
    {"mirostat_mode", kText, kUnsupported, "0", kOtherSampler},
    {"dynatemp_range", kText, kUnsupported, "0", kOtherSampler},
    {"dry_multiplier", kText, kUnsupported, "0", kOtherSampler},
    {"xtc_probability", kText, kUnsupported, "0", kOtherSampler},
    {"top_n_sigma", kText, kUnsupported, "0,-1", kOtherSampler},
    {"top_a", kText, kUnsupported, "0", kOtherSampler},
    {"tfs_z", kText, kUnsupported, "1", kOtherSampler},
    {"adaptive_target", kText, kUnsupported, "-1", kOtherSampler},
    {"min_keep", kText, kUnsupported, "0,1", kOtherSampler},
    {"samplers", kText, kUnsupported, "", "their order is fixed"},
    {"penalize_nl", kText, kUnsupported, "false", kOtherSampler},
    {"use_beam_search", kText, kUnsupported, "false", kOtherSampler},
    {"length_penalty", kText, kUnsupported, "1", kOtherSampler},
    {"early_stopping", kText, kUnsupported, "false", kOtherSampler},
    {"logits_processors", kText, kUnsupported, "", kOtherSampler},
    {"lora", kText, kUnsupported, "", "adapters are the server's, --lora"},
    {"options", kText | kEmbeddingBody, kUnsupported, "", "give its members beside messages"},
    {"num_ctx", kText, kUnsupported, "", "the context is the server's, -c"},
    {"vllm_xargs", kText, kUnsupported},
    {"kv_transfer_params", kText, kUnsupported},
    {"cache_salt", kText, kUnsupported, "", "the prefix cache is shared: --no-prefix-cache"},
    // Other forms of what is answered.
    {"n_probs", kText, kUnsupported, "0", kWithLogprobs},
    {"post_sampling_probs", kText, kUnsupported, "false", kWithLogprobs},
    {"prompt_logprobs", kText, kUnsupported, "", "the prompt's tokens have no logprobs"},
    {"return_tokens", kText, kUnsupported, "false", kWithLogprobs},
    {"return_token_ids", kText, kUnsupported, "false", kWithLogprobs},
    {"return_tokens_as_token_ids", kText, kUnsupported, "false", kWithLogprobs},
    {"response_fields", kText, kUnsupported, "", "pick them out of the answer"},
    {"_debug_render_only", kText, kUnsupported, "false"},
    // Of embeddings and tokens.
    {"input_type", kEmbeddingBody, kUnsupported, "", "put the model's prefix in front of the text"},
    {"normalize", kEmbeddingBody, kUnsupported, "true", "vectors have the length 1"},
    {"embd_normalize", kEmbeddingBody, kUnsupported, "2", "vectors have the length 1"},
    {"embed_dtype", kEmbeddingBody, kUnsupported, "\"float32\"", "there are float and base64"},
    {"endianness", kEmbeddingBody, kUnsupported, "\"native\",\"little\""},
    {"truncate", kEmbeddingBody, kUnsupported, "false", "shorten the text by /tokenize"},
    {"with_pieces", kTokenizeBody, kUnsupported, "false", "/detokenize tells of each token"},
    {"return_token_strs", kTokenizeBody, kUnsupported, "false", "/detokenize tells of each token"},

    {"include_usage", kStreamOptions, kActs},
    {"include_obfuscation", kStreamOptions, kHarmless},
    {"continuous_usage_stats", kStreamOptions, kUnsupported, "false",
     "include_usage counts at the end"},

    {"type", kResponseFormat, kActs},
    {"json_schema", kResponseFormat, kActs},
    {"schema", kResponseFormat, kActs},
    {"value", kResponseFormat, kActs},
    {"strict", kResponseFormat, kHarmless},
    {"name", kResponseFormat, kHarmless},
    {"grammar", kResponseFormat, kUnsupported, "", kSchemaOnly},
    {"pattern", kResponseFormat, kUnsupported, "", kSchemaOnly},

    {"json", kStructuredOutputs, kActs},
    {"json_object", kStructuredOutputs, kActs},
    {"choice", kStructuredOutputs, kActs},
    {"disable_fallback", kStructuredOutputs, kHarmless},
    {"disable_any_whitespace", kStructuredOutputs, kHarmless},
    {"regex", kStructuredOutputs, kUnsupported, "", kSchemaOnly},
    {"grammar", kStructuredOutputs, kUnsupported, "", kSchemaOnly},
    {"structural_tag", kStructuredOutputs, kUnsupported, "", kSchemaOnly},
    {"whitespace_pattern", kStructuredOutputs, kUnsupported, "",
     "blanks are bounded of themselves"},
    {"disable_additional_properties", kStructuredOutputs, kUnsupported, "false",
     "additionalProperties: false in the schema"},

    {"role", kMessage, kActs},
    {"content", kMessage, kActs, "", "", kContentPart},
    {"name", kMessage, kHarmless},
    {"id", kMessage, kHarmless},
    {"weight", kMessage, kHarmless},
    {"refusal", kMessage, kHarmless},
    {"annotations", kMessage, kHarmless},
    {"reasoning", kMessage, kHarmless},
    {"reasoning_content", kMessage, kHarmless},
    {"reasoning_details", kMessage, kHarmless},
    {"thinking", kMessage, kHarmless},
    {"cache_control", kMessage, kHarmless},
    {"tool_calls", kMessage, kUnsupported, "", kNoTools},
    {"tool_call_id", kMessage, kUnsupported, "", kNoTools},
    {"tool_name", kMessage, kUnsupported, "", kNoTools},
    {"function_call", kMessage, kUnsupported, "", kNoTools},
    {"images", kMessage, kUnsupported, "", kNoMedia},
    {"audio", kMessage, kUnsupported, "", kNoMedia},
    {"prefix", kMessage, kUnsupported, "false", "/v1/completions continues any text"},
    {"partial", kMessage, kUnsupported, "false", "/v1/completions continues any text"},

    {"type", kContentPart, kActs},
    {"text", kContentPart, kActs},
    {"cache_control", kContentPart, kHarmless},
    {"annotations", kContentPart, kHarmless},
    {"image_url", kContentPart, kUnsupported, "", kNoMedia},
    {"video_url", kContentPart, kUnsupported, "", kNoMedia},
    {"audio_url", kContentPart, kUnsupported, "", kNoMedia},
    {"input_audio", kContentPart, kUnsupported, "", kNoMedia},
    {"file", kContentPart, kUnsupported, "", kNoMedia},
    {"refusal", kContentPart, kUnsupported, "", "give it as a part that is a text"},
};

const RequestField* FindField(absl::string_view name, FieldObjects object) {
  for (const RequestField& field : kFields) {
    if ((field.objects & object) != 0 && field.name == name) return &field;
  }
  return nullptr;
}

bool ChangesNothing(const RequestField& field, const Json& value) {
  if (value.is_null() || value == "" || (value.is_structured() && value.empty())) return true;
  const Json neutral = Json::parse(absl::StrCat("[", field.neutral, "]"));
  return std::find(neutral.begin(), neutral.end(), value) != neutral.end();
}

absl::Status Unsupported(const RequestField& field, const std::string& path, const Json& value) {
  std::string message =
      absl::StrCat(path, " is ", Shown(value), ", which is not supported, expected ");
  const std::string neutral(field.neutral);
  absl::StrAppend(&message, neutral.empty() ? "none" : absl::StrCat("none or ", neutral));
  if (*field.instead != '\0') absl::StrAppend(&message, ": ", field.instead);
  return FieldError(path, message, "unsupported_parameter");
}

// Names are anyone's, and go into a header and a log.
std::string Printable(absl::string_view name) {
  constexpr size_t kMost = 64;
  std::string text(name.substr(0, kMost));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return !absl::ascii_isprint(c); }, '?');
  return name.size() > kMost ? text + "..." : text;
}

class FieldChecker {
 public:
  // `path` is what stands in front of names in errors, `pattern` in names of unknown fields.
  absl::Status Check(const Json& object, FieldObjects kind, const std::string& path,
                     const std::string& pattern) {
    for (const auto& [name, value] : object.items()) {
      const RequestField* const field = FindField(name, kind);
      if (field == nullptr) {
        AddUnknown(name, kind, pattern);
      } else if (field->kind == kUnsupported && !ChangesNothing(*field, value)) {
        return Unsupported(*field, path + name, value);
      } else if (field->members != 0) {
        SLUICE_RETURN_IF_ERROR(CheckMembers(*field, value, path + name, pattern + name));
      }
    }
    return absl::OkStatus();
  }

  UnknownFields unknown() const {
    if (shown_.empty()) return {};
    std::string text = absl::StrCat("unknown fields: ", absl::StrJoin(shown_, ", "));
    if (more_) absl::StrAppend(&text, " and others");
    return {first_, text};
  }

 private:
  absl::Status CheckMembers(const RequestField& field, const Json& value, const std::string& path,
                            const std::string& pattern) {
    if (value.is_object()) return Check(value, field.members, path + ".", pattern + ".");
    if (!value.is_array()) return absl::OkStatus();  // what it is, its reader says
    for (size_t i = 0; i < value.size(); ++i) {
      if (!value[i].is_object()) continue;
      SLUICE_RETURN_IF_ERROR(
          Check(value[i], field.members, absl::StrCat(path, "[", i, "]."), pattern + "[]."));
    }
    return absl::OkStatus();
  }

  void AddUnknown(const std::string& name, FieldObjects kind, const std::string& pattern) {
    constexpr size_t kMostShown = 8, kMostNear = 40;
    const std::string shown = Printable(pattern + name);
    if (first_.empty()) first_ = shown;
    if (!seen_.insert(shown).second) return;
    if (shown_.size() == kMostShown) {
      seen_.erase(shown);
      more_ = true;
      return;
    }
    std::vector<absl::string_view> known;
    for (const RequestField& field : kFields) {
      if ((field.objects & kind) != 0) known.emplace_back(field.name);
    }
    const absl::string_view near = name.size() > kMostNear ? "" : NearestName(name, known);
    shown_.push_back(near.empty() ? shown : absl::StrCat(shown, " (did you mean '", near, "'?)"));
  }

  std::string first_;
  std::set<std::string> seen_;
  std::vector<std::string> shown_;
  bool more_ = false;
};

}  // namespace

absl::Span<const RequestField> RequestFields() { return kFields; }

const char* PathOf(FieldObjects object) {
  switch (object) {
    case kStreamOptions:
      return "stream_options.";
    case kResponseFormat:
      return "response_format.";
    case kStructuredOutputs:
      return "structured_outputs.";
    case kMessage:
      return "messages[].";
    case kContentPart:
      return "messages[].content[].";
    default:
      return "";
  }
}

absl::StatusOr<UnknownFields> CheckFields(const Json& body, FieldObjects object) {
  FieldChecker checker;
  SLUICE_RETURN_IF_ERROR(checker.Check(body, object, "", ""));
  return checker.unknown();
}

}  // namespace sluice::server
