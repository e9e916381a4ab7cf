// sluice reduce: makes a graph that fails small.
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "graph/text.h"
#include "models/files/output_file.h"
#include "tools/commands.h"
#include "tools/debug/failure.h"
#include "tools/debug/read_graph.h"
#include "tools/debug/reduce.h"
#include "tools/options.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

struct ReduceCommand {
  BackendOptions backend;
  std::string file, against = "ref", out;
  double tolerance = 0;
  uint64_t seed = 1;
  bool status = false, pass_by_pass = false, as_is = false;
};

void ShowProgress(int64_t attempts, const Graph& smallest) {
  // Past std::cerr, which would show the escape sequence.
  std::fprintf(stderr, "\r%lld attempts, %zu nodes\033[K", static_cast<long long>(attempts),
               smallest.nodes().size());
}

absl::Status Write(const Graph& graph, OutputFile* file) {
  if (file == nullptr) {
    std::cout << Print(graph);
    return absl::OkStatus();
  }
  SLUICE_RETURN_IF_ERROR(file->Write(Print(graph)));
  return file->Commit();
}

absl::Status RunReduce(const ReduceCommand& command) {
  SLUICE_ASSIGN_OR_RETURN(const std::string content, ReadFile(command.file));
  SLUICE_ASSIGN_OR_RETURN(const Graph graph, ReadGraph(content, command.file));
  std::unique_ptr<OutputFile> out;
  if (!command.out.empty()) {
    SLUICE_ASSIGN_OR_RETURN(out, OutputFile::Open(command.out, {.inputs = {command.file}}));
  }
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> got, command.backend.Make());
  const BackendOptions against = {.name = command.against, .threads = command.backend.threads};
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> expected, against.Make());
  if (const std::string note = NoteOnPlan(graph, *got); !command.as_is && !note.empty()) {
    Warn(absl::StrCat(command.file, ": ", note));
  }
  FailureFinder finder(*expected, *got,
                       {.tolerance = command.tolerance,
                        .seed = command.seed,
                        .errors_only = command.status,
                        .as_is = command.as_is,
                        .pass_by_pass = command.pass_by_pass});
  const std::optional<Failure> failure = finder.Find(graph);
  if (!failure.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(command.file, ": nothing fails, on random data with seed ", command.seed));
  }
  std::cerr << "looking for: " << failure->what << "\n";

  const bool on_terminal = isatty(STDERR_FILENO) != 0;
  ReduceOptions options{.suspect = failure->value};
  if (on_terminal) options.progress = ShowProgress;
  absl::StatusOr<Graph> reduced = Reduce(
      graph,
      [&](const Graph& smaller) {
        const std::optional<Failure> found = finder.Find(smaller);
        return found.has_value() && found->IsLike(*failure);
      },
      options);
  if (on_terminal) std::fputs("\r\033[K", stderr);
  if (!reduced.ok()) return reduced.status();
  std::cerr << graph.nodes().size() << " nodes before, " << reduced->nodes().size() << " after\n";
  return Write(*reduced, out.get());
}

}  // namespace

void AddReduce(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<ReduceCommand>();
  CLI::App* command = app.add_subcommand("reduce", "Make a graph that fails small");
  command->add_option("FILE", options->file, "graph in any form, at any stage; -: stdin")
      ->required();
  Declare(command, &options->backend);
  command->add_option("--against", options->against, "backend that is right")
      ->check(OneOf({"ref", "cpu"}))
      ->capture_default_str();
  command->add_flag("--status", options->status,
                    "look for an error of passes or backend only, not for numbers that differ");
  auto* by_pass =
      command->add_flag("--pass-by-pass", options->pass_by_pass,
                        "instead: look for a pass that changes the reference's numbers");
  command
      ->add_flag("--as-is", options->as_is,
                 "the kernels, places and scratch memory that the graph has: checks the rules of "
                 "compiled graphs and runs no pass; else memory is planned anew")
      ->excludes(by_pass);
  command
      ->add_option("--tolerance", options->tolerance,
                   "largest NMSE of a value; default: as for sluice verify")
      ->check(CLI::PositiveNumber);
  command->add_option("--seed", options->seed, "of the random data")->capture_default_str();
  command->add_option("-o,--out", options->out, "file to write; default: standard output");
  AddExamples(
      command,
      {"verify model.gguf --save-graph failing.ir", "reduce failing.ir -o small.ir",
       "reduce failing.ir --status            what a backend refuses"},
      "A smaller graph is kept if it fails in the same way: an error of the same kind at the same\n"
      "op, or any value that differs by more than the tolerance.\n"
      "Exit codes: 0 the graph was reduced, 1 an error is on stderr, for instance that nothing "
      "fails.");
  command->callback([command, options, status] {
    *status =
        Checked({CheckBackend(*command, options->backend, options->against == "cpu"),
                 CheckEffects(*command, {{"--tolerance", !options->status, "without --status"}})},
                [&] { return RunReduce(*options); });
  });
}

}  // namespace sluice::tools
