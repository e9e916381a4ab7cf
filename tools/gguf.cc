// sluice gguf: what stands in a GGUF file, and copies with other metadata.
#include <iostream>
#include <memory>

#include "graph/status_macros.h"
#include "models/gguf_edit.h"
#include "tools/commands.h"
#include "tools/inspect/gguf_report.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

struct GgufCommand {
  std::string input, output;
  std::vector<std::string> set, remove;
  bool full = false, json = false;
};

absl::StatusOr<std::vector<MetadataEdit>> EditsOf(const GgufCommand& command) {
  std::vector<MetadataEdit> edits;
  for (const std::string& text : command.set) {
    SLUICE_ASSIGN_OR_RETURN(MetadataEdit edit, ParseMetadataEdit(text));
    edits.push_back(std::move(edit));
  }
  for (const std::string& key : command.remove) edits.push_back({.key = key});
  return edits;
}

absl::Status Gguf(const GgufCommand& command) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<MetadataEdit> edits, EditsOf(command));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(command.input));
  if (!command.output.empty()) return WriteEdited(*file, edits, command.output);
  std::cout << (command.json ? GgufJson(*file, command.full) : GgufText(*file, command.full));
  return absl::OkStatus();
}

}  // namespace

void AddGguf(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<GgufCommand>();
  CLI::App* command =
      app.add_subcommand("gguf", "Show a GGUF file's metadata and tensors, or change its metadata");
  command->add_option("MODEL", options->input, "GGUF file; of a split model any part")->required();
  CLI::Option* output = command->add_option("OUT", options->output, "the changed copy");
  CLI::Option* set = command
                         ->add_option("--set", options->set,
                                      "KEY=VALUE, or for a new key KEY:TYPE=VALUE; may be repeated")
                         ->type_name("KEY=VALUE")
                         ->needs(output);
  CLI::Option* remove = command->add_option("--remove", options->remove, "key; may be repeated")
                            ->type_name("KEY")
                            ->needs(output);
  command->add_flag("--full", options->full, "arrays and texts to their ends");
  command->add_flag("--json", options->json, "as JSON; arrays only with --full");
  AddExamples(command,
              {"gguf model.gguf --full                          all that is in it",
               "gguf model.gguf --json | jq .metadata           for programs",
               "gguf in.gguf out.gguf --set general.name=Mine   a copy with another name"});
  command->callback([command, options, set, remove, status] {
    const bool shows = options->output.empty();
    const std::string without = "where the file is shown: without OUT";
    *status =
        Checked({CheckEffects(*command,
                              {{"OUT", !set->empty() || !remove->empty(), "with --set or --remove"},
                               {"--full", shows, without},
                               {"--json", shows, without}})},
                [&] { return Gguf(*options); });
  });
}

}  // namespace sluice::tools
