// sluice: one program, one subcommand per job. Exit codes: 0 done, 1 failed with one clear line on
// stderr, 2 wrong usage.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <csignal>
#include <iostream>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "graph/memory_for.h"
#include "graph/nearest_name.h"
#include "models/unicode/printable.h"
#include "tools/commands.h"
#include "tools/terminal/terminal_filter.h"
#include "tools/terminal/terminal_mode.h"
#include "tools/usage.h"
#include "tools/version.h"

namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

// llama.cpp's names of several letters behind one dash, which the parser would take for several
// options of one letter.
constexpr std::array<std::pair<absl::string_view, absl::string_view>, 7> kShortNames = {{
    {"-ctk", "--cache-type-k"},
    {"-ctv", "--cache-type-v"},
    {"-ngl", "--gpu-layers"},
    {"-np", "--parallel"},
    {"-pg", "--prompt-gen"},
    {"-sys", "--system"},
    {"-ub", "--ubatch-size"},
}};

std::vector<std::string> Arguments(int argc, char** argv) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    for (const auto& [name, full] : kShortNames) {
      if (argument == name) argument = std::string(full);
    }
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

// A mapped file that another program cuts short raises SIGBUS at the next read of what is gone.
extern "C" void OnBusError(int) {
  constexpr char kMessage[] = "sluice: a model file became shorter while it was in use\n";
  sluice::tools::RestoreTerminal();
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  _exit(kFailed);
}

// In the order of the help.
constexpr void (*kCommands[])(CLI::App&, absl::Status*) = {
    sluice::tools::AddRun,     sluice::tools::AddServe,      sluice::tools::AddDiff,
    sluice::tools::AddDump,    sluice::tools::AddOpt,        sluice::tools::AddPasses,
    sluice::tools::AddLogits,  sluice::tools::AddEmbed,      sluice::tools::AddTokenize,
    sluice::tools::AddBench,   sluice::tools::AddBenchServe, sluice::tools::AddInspect,
    sluice::tools::AddProfile, sluice::tools::AddPerplexity, sluice::tools::AddVerify,
    sluice::tools::AddReduce,  sluice::tools::AddMakeModel,  sluice::tools::AddQuantize,
    sluice::tools::AddGguf,    sluice::tools::AddDevices,    sluice::tools::AddOps,
};

// Before the parser, which only says that a command is missing.
bool NamesNoCommand(CLI::App& app, const std::string& argument) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  if (argument[0] == '-' || std::find(names.begin(), names.end(), argument) != names.end()) {
    return false;
  }
  std::cerr << "sluice: unknown command '" << argument << "'; `sluice --help` lists them"
            << sluice::DidYouMean(argument,
                                  std::vector<absl::string_view>(names.begin(), names.end()))
            << "\n";
  return true;
}

// 0 if help or the version was asked for.
int Report(CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);
  const std::vector<CLI::App*> commands = app.get_subcommands();
  const CLI::App& command = commands.empty() ? app : *commands[0];
  const std::vector<std::string> extras = app.remaining(/*recurse=*/true);
  std::cerr << "sluice: ";
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !extras.empty()) {
    std::cerr << sluice::tools::DescribeExtra(command, extras[0]);
  } else {
    std::cerr << (commands.empty() ? "" : command.get_name() + ": ") << error.what();
  }
  std::cerr << "\nRun with --help for more information.\n";
  return kWrongUsage;
}

void Say(absl::string_view text) {
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
}

// For all threads. Nothing may allocate here, and nothing that was cut off may go on.
void OnOutOfMemory() {
  sluice::tools::RestoreTerminal();
  Say("sluice: out of memory");
  if (!sluice::memory_purpose.empty()) {
    Say(": cannot allocate memory for ");
    Say(sluice::memory_purpose);
  }
  Say("\n");
  _exit(kFailed);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace sluice::tools;
  const FilteredStream output(std::cout, STDOUT_FILENO), errors(std::cerr, STDERR_FILENO);
  std::signal(SIGBUS, OnBusError);
  std::set_new_handler(OnOutOfMemory);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is an error of write()
  CLI::App app("Sluice compiles GGUF language models to a graph that one can read, and runs them.",
               "sluice");
  app.formatter(HelpFormat());
  app.require_subcommand(1);
  app.set_version_flag("--version", Version);
  absl::Status status;
  for (const auto add : kCommands) add(app, &status);
  // Not before: commands would have these examples, too.
  AddExamples(&app,
              {"run -p \"Once upon a time\"             the embedded story model",
               "run model.gguf -p \"Hello\" -n 64 -t 2  a model of yours",
               "run model.gguf --chat                 a conversation with it",
               "serve model.gguf -np 4                an OpenAI-compatible server",
               "embed bert.gguf -f texts.txt          a vector for each line of a file",
               "dump model.gguf | less                the graph as the builder made it",
               "dump model.gguf --final --tokens 1    a decode step as it will run",
               "ops                                   every operation, documented"},
              "`sluice COMMAND --help` explains a command.");
  MakeStrict(&app);
  if (argc > 1 && NamesNoCommand(app, argv[1])) return kWrongUsage;
  std::vector<std::string> arguments = Arguments(argc, argv);
  if (const std::string wrong = DescribeEmptyEntry(app, arguments); !wrong.empty()) {
    std::cerr << "sluice: " << wrong << "\nRun with --help for more information.\n";
    return kWrongUsage;
  }
  std::reverse(arguments.begin(), arguments.end());  // as the parser wants them
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return Report(app, error);
  }
  std::cout.flush();
  if (status.ok() && !std::cout) status = absl::UnavailableError("cannot write to standard output");
  if (status.ok()) return 0;
  if (!status.message().empty()) {
    std::cerr << "sluice: " << sluice::PrintableText(status.message()) << "\n";
  }
  return IsWrongUsage(status) ? kWrongUsage : kFailed;
}
