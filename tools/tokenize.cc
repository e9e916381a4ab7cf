// sluice tokenize: text to token ids and back. Works on files that hold only a vocabulary.
#include <unistd.h>

#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/memory_for.h"
#include "graph/status_macros.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

struct TokenizeCommand {
  ModelOptions model;
  std::string prompt, file, ids;
  bool from_ids = false;
  bool parse_special = false;
  bool no_bos = false;
};

absl::Status Tokenize(const TokenizeCommand& command) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<WeightSource> file, command.model.OpenFile());
  std::vector<std::string> warnings;
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          WithMemoryFor(absl::StrCat("the vocabulary of ", file->path()),
                                        [&] { return Tokenizer::Load(*file, &warnings); }));
  for (const std::string& warning : warnings) Warn(warning);
  if (command.from_ids) {
    SLUICE_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ParseIds(command.ids));
    std::cout << tokenizer->Detokenize(ids, {.special = true});
    if (isatty(STDOUT_FILENO)) std::cout << "\n";  // bytes as they are for a pipe
    return absl::OkStatus();
  }
  std::string text = command.prompt;
  if (!command.file.empty()) {
    SLUICE_ASSIGN_OR_RETURN(text, ReadFile(command.file));
  }
  const std::vector<TokenId> ids = tokenizer->Encode(
      text, {.add_special = !command.no_bos, .parse_special = command.parse_special});
  std::cout << absl::StrJoin(ids, ",") << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddTokenize(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<TokenizeCommand>();
  CLI::App* command = app.add_subcommand("tokenize", "Text to token ids, or ids back to text");
  Declare(command, &options->model);
  auto* input = command->add_option_group("input", "what to convert");
  input->add_option("-p,--prompt", options->prompt, "text");
  input->add_option("-f,--file", options->file,
                    "read the text from a file, byte by byte; -: stdin");
  auto* ids = input->add_option("--ids", options->ids, "ids: 1,2,3; prints their text");
  input->require_option(1);
  command->add_flag("--parse-special", options->parse_special,
                    "read control tokens like <|im_end|> in the text");
  command->add_flag("--no-bos", options->no_bos, "add no begin or end token");
  AddExamples(command,
              {"tokenize model.gguf -p \"Once upon a time\"", "tokenize model.gguf --ids 1,2,3",
               "tokenize model.gguf -f chat.txt --parse-special --no-bos"});
  command->callback([command, options, ids, status] {
    options->from_ids = ids->count() > 0;
    const std::string texts = "on text, and --ids has ids";
    *status = Checked({CheckEffects(*command, {{"--parse-special", !options->from_ids, texts},
                                               {"--no-bos", !options->from_ids, texts}})},
                      [&] { return Tokenize(*options); });
  });
}

}  // namespace sluice::tools
