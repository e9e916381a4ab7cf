// sluice diff: what differs between two graphs, by name and not by line.
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>

#include "graph/status_macros.h"
#include "tools/commands.h"
#include "tools/debug/diff.h"
#include "tools/debug/read_graph.h"
#include "tools/options.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

struct DiffOptions {
  std::string before, after;
  std::vector<std::string> ignored;
  bool summary = false;
};

absl::StatusOr<Graph> Load(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  return ReadGraph(content, path);
}

absl::Status RunDiff(const DiffOptions& options) {
  if (options.before == "-" && options.after == "-") {
    return absl::InvalidArgumentError("both graphs cannot come from standard input");
  }
  SLUICE_ASSIGN_OR_RETURN(const Graph before, Load(options.before));
  SLUICE_ASSIGN_OR_RETURN(const Graph after, Load(options.after));
  const GraphDiff diff = Diff(before, after, options.ignored);
  if (options.summary) {
    std::cout << PrintOpCounts(diff);
  } else if (isatty(STDOUT_FILENO) == 0) {
    std::cout << Print(diff, /*colour=*/false);
  } else {
    std::fputs(Print(diff, /*colour=*/true).c_str(), stdout);  // std::cout would show the colours
  }
  return diff.empty() ? absl::OkStatus() : Told();
}

}  // namespace

void AddDiff(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App* command = app.add_subcommand("diff", "Show what differs between two graph files");
  command->add_option("BEFORE", options->before, "graph as text, proto, text proto or JSON")
      ->required();
  command->add_option("AFTER", options->after, "another; -: standard input")->required();
  const std::vector<std::string> fields(DiffFields().begin(), DiffFields().end());
  command->add_option("--ignore", options->ignored, "fields that do not count, with commas between")
      ->delimiter(',')
      ->check(OneOf(fields));
  command->add_flag("--summary", options->summary, "only how often each op is used");
  AddExamples(command,
              {"diff before.ir after.ir", "diff before.ir after.ir --ignore mem,origin --summary",
               "dump m.gguf --final | sluice diff before.ir -"},
              "+ added  - removed  ~ changed  > moved\n"
              "Exit codes: 0 the graphs are equal, 1 they differ, or an error is on stderr.");
  command->callback([options, status] { *status = RunDiff(*options); });
}

}  // namespace sluice::tools
