// sluice dump: the graph of a model at any stage of compilation. Never touches weight data.
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "graph/status_macros.h"
#include "passes/pipeline.h"
#include "tools/commands.h"
#include "tools/graph_format.h"
#include "tools/options.h"

namespace sluice::tools {
namespace {

struct DumpOptions {
  ModelOptions model;
  BackendOptions backend;
  CacheOptions cache;
  std::string after, before, format = "text";
  bool final = false;
  int64_t tokens = 512;
  int64_t context = 0;
  std::vector<std::string> disabled;
};

absl::Status Dump(const DumpOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, options.model.Load());
  DecoderOptions decoder;
  SLUICE_RETURN_IF_ERROR(options.cache.Apply(&decoder));
  decoder.max_tokens = options.tokens;
  decoder.context = options.context;
  SLUICE_ASSIGN_OR_RETURN(Graph graph, model->BuildGraph(decoder));
  if (options.final || !options.after.empty() || !options.before.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, options.backend.Make());
    const PassOptions passes{
        .disabled = options.disabled, .stop_before = options.before, .stop_after = options.after};
    SLUICE_RETURN_IF_ERROR(Optimize(*backend, passes, &graph));
  }
  SLUICE_ASSIGN_OR_RETURN(const std::string text, Format(graph, options.format));
  PrintWarnings(*model);
  std::cout << text;
  return absl::OkStatus();
}

}  // namespace

void AddDump(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<DumpOptions>();
  CLI::App* command =
      app.add_subcommand("dump", "Print a model's graph, as built or after any pass");
  options->model.Declare(command);
  auto* after = command->add_option("--after", options->after, "run the passes up to this one");
  auto* before = command->add_option("--before", options->before, "run the passes before this one");
  auto* final = command->add_flag("--final", options->final, "run all passes");
  after->excludes(before)->excludes(final);
  before->excludes(final);
  command->add_option("--disable-pass", options->disabled, "leave out a pass; may be repeated");
  command->add_option("--tokens", options->tokens, "tokens of a step, at most; 1: a decode step")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->capture_default_str();
  command->add_option("-c,--ctx-size", options->context, "context in tokens; 0: the model's own")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
      ->capture_default_str();
  command->add_option("--format", options->format, "text, textproto, json or proto (binary)")
      ->check(CLI::IsMember({"text", "textproto", "json", "proto"}))
      ->capture_default_str();
  options->backend.Declare(command);
  options->cache.Declare(command);
  std::string passes = "Passes, in order:";
  for (const Pass& pass : Pipeline()) {
    absl::StrAppend(&passes, "\n  ", absl::StrFormat("%-18s", pass.name), pass.summary);
  }
  command->footer(passes);
  command->callback([options, status] { *status = Dump(*options); });
}

}  // namespace sluice::tools
