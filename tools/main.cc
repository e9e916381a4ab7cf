// sluice: one program, one subcommand per job. Exit codes: 0 done, 1 failed with one clear line on
// stderr, 2 wrong usage.
#include <unistd.h>

#include <CLI/CLI.hpp>
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
#include "tools/commands.h"

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

// The arguments in the order that CLI11 wants: last first.
std::vector<std::string> Arguments(int argc, char** argv) {
  std::vector<std::string> arguments;
  for (int i = argc - 1; i > 0; --i) {
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
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  _exit(kFailed);
}

void Say(absl::string_view text) {
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
}

// For all threads. Nothing may allocate here, and nothing that was cut off may go on.
void OnOutOfMemory() {
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
  std::signal(SIGBUS, OnBusError);
  std::set_new_handler(OnOutOfMemory);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is an error of write()
  CLI::App app("Sluice compiles GGUF language models to a graph that one can read, and runs them.",
               "sluice");
  app.footer(
      "Examples:\n"
      "  sluice run -p \"Once upon a time\"             the embedded story model\n"
      "  sluice run model.gguf -p \"Hello\" -n 64 -t 2  a model of yours\n"
      "  sluice run model.gguf --chat                 a conversation with it\n"
      "  sluice serve model.gguf -np 4                an OpenAI-compatible server\n"
      "  sluice embed bert.gguf -f texts.txt          a vector for each line of a file\n"
      "  sluice dump model.gguf | less                the graph as the builder made it\n"
      "  sluice dump model.gguf --final --tokens 1    a decode step as it will run\n"
      "  sluice ops                                   every operation, documented\n"
      "`sluice COMMAND --help` explains a command.");
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  absl::Status status;
  AddRun(app, &status);
  AddServe(app, &status);
  AddDiff(app, &status);
  AddDump(app, &status);
  AddOpt(app, &status);
  AddPasses(app, &status);
  AddLogits(app, &status);
  AddEmbed(app, &status);
  AddTokenize(app, &status);
  AddBench(app, &status);
  AddBenchServe(app, &status);
  AddInspect(app, &status);
  AddProfile(app, &status);
  AddPerplexity(app, &status);
  AddVerify(app, &status);
  AddReduce(app, &status);
  AddMakeModel(app, &status);
  AddQuantize(app, &status);
  AddGguf(app, &status);
  AddDevices(app, &status);
  AddOps(app, &status);
  try {
    app.parse(Arguments(argc, argv));
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kWrongUsage;
  }
  std::cout.flush();
  if (status.ok() && !std::cout) status = absl::UnavailableError("cannot write to standard output");
  if (status.ok()) return 0;
  if (!status.message().empty()) std::cerr << "sluice: " << status.message() << "\n";
  return kFailed;
}
