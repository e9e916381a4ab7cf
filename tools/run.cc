// sluice run: text from a prompt, or a chat.
#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/str_format.h"
#include "graph/status_macros.h"
#include "runtime/constraint/grammar_filter.h"
#include "runtime/generate.h"
#include "tools/chat.h"
#include "tools/commands.h"
#include "tools/json_output.h"
#include "tools/options.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

// The story model was trained on little text: it reads well up to about this temperature.
constexpr double kEmbeddedTemperature = 0.4;

struct RunOptions {
  ModelOptions model;
  BackendOptions backend;
  CacheOptions cache;
  CompileOptions compile;
  std::string prompt, prompt_file;
  ChatOptions chat;
  JsonOptions json;
  ContextOptions context;
  int64_t batch = 512;
  int64_t seed = -1;
  bool special = false;
  GenerateOptions generate;
};

void DeclareSampling(CLI::App* command, RunOptions* options) {
  SamplerOptions& s = options->generate.sampling;
  command->add_option("--temp", s.temperature, "temperature; 0: always the likeliest token")
      ->default_str("0.8, or 0.4 for the embedded model");
  command->add_option("--top-k", s.top_k, "keep the K likeliest tokens; 0: all")
      ->capture_default_str();
  command->add_option("--top-p", s.top_p, "keep the likeliest tokens up to this sum; 1: all")
      ->capture_default_str();
  command->add_option("--min-p", s.min_p, "keep tokens at least this likely, against the best")
      ->capture_default_str();
  command->add_option("--typical", s.typical_p, "locally typical sampling; 1: off")
      ->capture_default_str();
  command->add_option("--repeat-penalty", s.repeat_penalty, "against repetition; 1: off")
      ->capture_default_str();
  command->add_option("--repeat-last-n", s.repeat_last_n, "tokens it looks back at; -1: all")
      ->capture_default_str();
  command->add_option("-s,--seed", options->seed, "the same seed gives the same text; -1: random")
      ->capture_default_str();
}

absl::Status CheckSampling(const CLI::App& command, const SamplerOptions& sampling) {
  const bool draws = sampling.temperature != 0;
  const std::string warm = "above a temperature of 0";
  WarnOfIdle(command, {{"--top-k", draws, warm},
                       {"--top-p", draws, warm},
                       {"--min-p", draws, warm},
                       {"--typical", draws, warm},
                       {"--seed", draws, warm}});
  return CheckEffects(command, {{"--repeat-last-n", sampling.has_penalties(),
                                 "with a --repeat-penalty that is not 1"}});
}

absl::StatusOr<std::string> PromptOf(const RunOptions& options) {
  if (!options.prompt_file.empty()) return ReadFile(options.prompt_file);
  return options.prompt;
}

void PrintSummary(const GenerateResult& result, uint64_t seed, bool greedy) {
  std::cerr << absl::StreamFormat("[%s after %d tokens", Describe(result.reason), result.generated);
  if (!greedy) std::cerr << ", seed " << seed;
  std::cerr << absl::StreamFormat("; prompt %d tokens at %.1f/s", result.prompted,
                                  static_cast<double>(result.prompted) / result.prompt_seconds);
  PrintDecoding(result);
}

// Prints the prompt and what the model makes of it.
absl::Status ContinuePrompt(Session& session, const Tokenizer& tokenizer, const std::string& prompt,
                            const RunOptions& options) {
  const std::vector<TokenId> ids = tokenizer.Encode(prompt, {.parse_special = options.special});
  StreamingDecoder decoder(tokenizer, {.continues = true});
  GenerateOptions generate = options.generate;
  generate.on_token = [&](TokenId id) {
    std::cout << decoder.Push(id) << std::flush;
    return std::cout.good();
  };
  std::cout << prompt << std::flush;
  const absl::StatusOr<GenerateResult> result = Generate(session, ids, generate);
  std::cout << decoder.Finish() << std::endl;
  SLUICE_RETURN_IF_ERROR(result.status());
  PrintSummary(*result, generate.sampling.seed, generate.sampling.temperature == 0);
  return absl::OkStatus();
}

absl::Status Run(RunOptions options) {
  SLUICE_ASSIGN_OR_RETURN(const std::string prompt, PromptOf(options));
  SamplerOptions& sampling = options.generate.sampling;
  sampling.seed = options.seed >= 0 ? static_cast<uint64_t>(options.seed) : std::random_device()();
  SLUICE_RETURN_IF_ERROR(sampling.Check());
  SLUICE_ASSIGN_OR_RETURN(const std::shared_ptr<const Grammar> grammar, options.json.Compile());
  // What may be wrong with the model's text comes first: the rest takes longer.
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, options.model.Load());
  SLUICE_ASSIGN_OR_RETURN(const Tokenizer* const tokenizer, model->tokenizer());
  std::optional<ChatTemplate> chat_template;
  if (options.chat.enabled) {
    SLUICE_ASSIGN_OR_RETURN(chat_template, options.chat.Template(model->file()));
  }
  if (grammar != nullptr) {
    options.generate.new_filter = [grammar, tokens = MakeTokenTrie(*tokenizer)] {
      return std::make_unique<GrammarFilter>(grammar, tokens);
    };
  }
  const std::string context_warning = options.context.Warning(model->config());
  const int64_t context = options.context.For(model->config());
  const DraftOptions& draft = options.generate.draft;
  const int64_t outputs = draft.ngram > 0 ? 1 + draft.max : 1;
  SLUICE_ASSIGN_OR_RETURN(const LoadedSession loaded,
                          OpenSession(std::move(model), options.backend, options.cache,
                                      {.compile = options.compile,
                                       .context = context,
                                       .max_tokens = std::max(options.batch, outputs),
                                       .max_outputs = outputs,
                                       .form = options.generate.row_form(),
                                       .events = OnTerminal()}));
  if (!context_warning.empty()) Warn(context_warning);
  options.generate.is_end = [&](TokenId id) { return tokenizer->IsEndOfGeneration(id); };
  if (!chat_template) return ContinuePrompt(*loaded.session, *tokenizer, prompt, options);
  return Chat({*loaded.session, *tokenizer, *chat_template}, options.chat, prompt,
              options.generate);
}

}  // namespace

void AddRun(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "Continue a prompt, or chat");
  Declare(command, &options->model);
  DeclareLora(command, &options->model);
  auto* prompt = command->add_option("-p,--prompt", options->prompt, "the text to continue");
  command->add_option("-f,--file", options->prompt_file, "read the prompt from a file; -: stdin")
      ->excludes(prompt);
  command
      ->add_option("-n,--n-predict", options->generate.max_tokens,
                   "tokens to make at most; -1: until the model ends or the context is full")
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 40))
      ->capture_default_str();
  Declare(command, &options->context);
  command->add_option("-b,--batch-size,--ubatch-size", options->batch, "prompt tokens of one step")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->capture_default_str();
  options->chat.Declare(command);
  command
      ->add_flag("--special", options->special,
                 "read control tokens like <|im_start|> in the prompt")
      ->excludes("--chat");
  Declare(command, &options->backend);
  Declare(command, &options->cache);
  Declare(command, &options->compile);
  DeclareSampling(command, options.get());
  DeclareDraft(command, &options->generate.draft);
  options->json.Declare(command);
  AddExamples(command,
              {"run -p \"Once upon a time\" -s 1                 the embedded story model",
               "run model.gguf --chat -sys \"Be brief.\"        a conversation",
               "run model.gguf -p \"A cat:\" -j schema.json     JSON that fits a schema",
               "run model.gguf -f text.txt --draft-ngram 3     faster where texts repeat"});
  command->callback([command, options, status] {
    if (command->count("--temp") == 0 && options->model.path.empty()) {
      options->generate.sampling.temperature = kEmbeddedTemperature;
    }
    *status = Checked({CheckBackend(*command, options->backend),
                       CheckCompile(*command, options->backend, options->compile),
                       CheckSampling(*command, options->generate.sampling),
                       CheckDraft(*command, options->generate.draft, options->batch)},
                      [&] { return Run(*options); });
  });
}

}  // namespace sluice::tools
