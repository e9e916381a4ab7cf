// sluice embed: texts to vectors, by an encoder.
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "graph/status_macros.h"
#include "runtime/encoder.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

// Texts of one step at most; a step takes as many as its tokens allow.
constexpr int64_t kStepTexts = 64;

struct EmbedCommand {
  ModelOptions model;
  BackendOptions backend;
  CompileOptions compile;
  std::string prompt, file, pooling, format = "text";
  int64_t batch = 512;
  bool batch_asked_for = false;
  bool normalize = true;
  bool truncate = false;
};

// A line of the file is a text, an empty one too; the end of the last line may be missing.
absl::StatusOr<std::vector<std::string>> TextsOf(const EmbedCommand& command) {
  if (command.file.empty()) return std::vector<std::string>{command.prompt};
  SLUICE_ASSIGN_OR_RETURN(const std::string content, ReadFile(command.file));
  std::vector<std::string> texts = absl::StrSplit(content, '\n');
  if (texts.back().empty()) texts.pop_back();
  if (!texts.empty()) return texts;
  return absl::InvalidArgumentError(absl::StrCat(command.file, ": there is no text in it"));
}

// Cuts off what is too much, in front of the token that ends a text.
void Truncate(const Tokenizer& tokenizer, int64_t length, std::vector<TokenId>* ids) {
  const auto size = static_cast<int64_t>(ids->size()), end = int64_t{tokenizer.adds_end()};
  if (size <= length) return;
  ids->erase(ids->begin() + std::max<int64_t>(0, length - end), ids->end() - end);
}

absl::StatusOr<std::vector<std::vector<TokenId>>> Tokenize(const EmbedCommand& command,
                                                           const std::vector<std::string>& texts,
                                                           const Tokenizer& tokenizer,
                                                           int64_t longest) {
  std::vector<std::vector<TokenId>> ids;
  for (const std::string& text : texts) {
    ids.push_back(tokenizer.Encode(text));
    if (command.truncate) Truncate(tokenizer, longest, &ids.back());
    const auto length = static_cast<int64_t>(ids.back().size());
    if (length >= 1 && length <= longest) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("text ", ids.size(), " has ", length, " tokens, expected 1 to ", longest,
                     length > longest ? "; --truncate cuts it off" : ""));
  }
  return ids;
}

// One line for each vector.
void PrintText(const std::vector<std::vector<float>>& vectors, size_t width) {
  for (const std::vector<float>& text : vectors) {
    for (size_t i = 0; i < text.size(); i += width) {
      const auto row = absl::MakeConstSpan(text).subspan(i, width);
      std::cout << absl::StrJoin(row, " ", [](std::string* out, float x) {
        absl::StrAppendFormat(out, "%.7g", x);
      }) << "\n";
    }
  }
}

// As llama-embedding's `json`, which is OpenAI's: a vector for each text, or a list of them.
void PrintJson(const std::vector<std::vector<float>>& vectors, size_t width, Pooling pooling) {
  nlohmann::ordered_json data = nlohmann::ordered_json::array();
  for (const std::vector<float>& text : vectors) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (size_t i = 0; i < text.size(); i += width) {
      rows.push_back(std::vector<float>(text.begin() + static_cast<ptrdiff_t>(i),
                                        text.begin() + static_cast<ptrdiff_t>(i + width)));
    }
    data.push_back({{"object", "embedding"},
                    {"index", data.size()},
                    {"embedding", pooling == Pooling::kNone ? rows : rows[0]}});
  }
  std::cout << nlohmann::ordered_json{{"object", "list"}, {"data", std::move(data)}}.dump() << "\n";
}

// A step holds any text, so that its tokens see each other, or several short ones.
absl::StatusOr<LoadedSession> Open(const EmbedCommand& command, std::unique_ptr<Model> model) {
  const int64_t longest = model->config().context_length;
  const int64_t tokens = std::max(command.batch, longest);
  if (command.batch_asked_for && command.batch < longest) {
    Warn(absl::StrCat("-b ", command.batch, ": a step must hold the longest text, ", longest,
                      " tokens, which is taken instead"));
  }
  return OpenSession(std::move(model), command.backend, {},
                     {.compile = command.compile,
                      .max_tokens = tokens,
                      .max_outputs = tokens,
                      .max_seqs = kStepTexts,
                      .takes_encoders = true,
                      .pooling = PoolingFromName(command.pooling),
                      .events = OnTerminal()});
}

absl::Status Embed(const EmbedCommand& command) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<std::string> texts, TextsOf(command));
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, command.model.Load());
  if (!model->config().encoder.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(model->file().path(), ": '", model->config().architecture,
                     "' is a decoder, which makes text and no vectors: use an encoder (bert)"));
  }
  SLUICE_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, model->tokenizer());
  SLUICE_ASSIGN_OR_RETURN(const std::vector<std::vector<TokenId>> ids,
                          Tokenize(command, texts, *tokenizer, model->config().context_length));
  SLUICE_ASSIGN_OR_RETURN(const LoadedSession loaded, Open(command, std::move(model)));
  SLUICE_ASSIGN_OR_RETURN(Encoder encoder, Encoder::Create(*loaded.session));
  SLUICE_ASSIGN_OR_RETURN(std::vector<std::vector<float>> vectors, encoder.Encode(ids));
  const auto width = static_cast<size_t>(encoder.width());
  for (std::vector<float>& text : vectors) {
    for (size_t i = 0; command.normalize && i < text.size(); i += width) {
      Normalize(absl::MakeSpan(text).subspan(i, width));
    }
  }
  command.format == "json" ? PrintJson(vectors, width, encoder.pooling())
                           : PrintText(vectors, width);
  return absl::OkStatus();
}

}  // namespace

void AddEmbed(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<EmbedCommand>();
  CLI::App* command =
      app.add_subcommand("embed", "Turn texts into vectors, with an encoder such as BERT");
  Declare(command, &options->model);
  auto* input = command->add_option_group("input", "what to embed");
  input->add_option("-p,--prompt", options->prompt, "a text");
  input->add_option("-f,--file", options->file, "a text in each line; -: stdin");
  input->require_option(1);
  command
      ->add_option("--pooling", options->pooling,
                   "what stands for a text: mean of its tokens, cls (the first), last; none: each "
                   "token for itself; default: as the model says")
      ->check(OneOf({"none", "mean", "cls", "last"}));
  command->add_flag("--normalize,!--no-normalize", options->normalize,
                    "divide vectors by their length; default: yes");
  command->add_flag("--truncate", options->truncate,
                    "cut off texts that are longer than the model's context");
  command
      ->add_option("-o,--output,--embd-output-format", options->format,
                   "text: numbers, a line for each vector; or json")
      ->check(OneOf({"text", "json"}))
      ->capture_default_str();
  command
      ->add_option("-b,--batch-size,--ubatch-size", options->batch,
                   "tokens of one step; never less than the model's context")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->capture_default_str();
  Declare(command, &options->backend);
  Declare(command, &options->compile);
  AddExamples(command,
              {"embed bert.gguf -p \"A text\"                one vector",
               "embed bert.gguf -f texts.txt -o json        one for each line",
               "embed bert.gguf -f - --pooling cls < texts  of the first token"},
              "A text does not depend on which others are embedded with it.");
  command->callback([command, options, status] {
    options->batch_asked_for = command->count("--batch-size") > 0;
    *status = Checked({CheckBackend(*command, options->backend),
                       CheckCompile(*command, options->backend, options->compile)},
                      [&] { return Embed(*options); });
  });
}

}  // namespace sluice::tools
