// sluice verify: two backends, or the stages of the pipeline, compared value by value.
#include <algorithm>
#include <fstream>
#include <iostream>
#include <limits>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "backends/ref/ref_backend.h"
#include "graph/status_macros.h"
#include "graph/text.h"
#include "models/files/file_format.h"
#include "models/files/model_files.h"
#include "models/files/output_file.h"
#include "passes/pipeline.h"
#include "tools/commands.h"
#include "tools/debug/read_graph.h"
#include "tools/debug/verify.h"
#include "tools/options.h"

namespace sluice::tools {
namespace {

constexpr size_t kDefaultTokens = 8;

struct VerifyOptions {
  ModelOptions model;  // or a graph
  BackendOptions backend;
  CacheOptions cache;
  std::string against = "ref", prompt, ids, save_graph;
  double tolerance = 0;  // 0: DefaultTolerance
  int64_t context = 0;   // 0: as many as there are tokens
  uint64_t seed = 1;
  bool pass_by_pass = false;
  bool packed = false;
};

absl::StatusOr<bool> IsModel(const std::string& path) {
  if (path.empty()) return true;
  std::ifstream file(path, std::ios::binary);
  char magic[kMagicBytes] = {};
  if (!file.read(magic, sizeof(magic))) return false;  // ReadFile says why
  return IsModelFile({magic, sizeof(magic)});
}

// The tokens of --ids or -p; without either some of the whole vocabulary.
absl::StatusOr<std::vector<int32_t>> TokensOf(const VerifyOptions& options, Model& model) {
  std::vector<int32_t> tokens;
  if (!options.ids.empty()) {
    SLUICE_ASSIGN_OR_RETURN(tokens, ParseIds(options.ids));
  } else if (!options.prompt.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, model.tokenizer());
    tokens = tokenizer->Encode(options.prompt, {});
  } else {
    const auto vocabulary = static_cast<size_t>(model.config().vocabulary);
    for (size_t i = 0; i < kDefaultTokens; ++i) {
      tokens.push_back(static_cast<int32_t>((2 * i + 1) * vocabulary / (2 * kDefaultTokens)));
    }
  }
  if (tokens.size() >= 2) return tokens;
  return absl::InvalidArgumentError("expected at least two tokens: a prompt and the next one");
}

absl::StatusOr<std::vector<StepComparison>> VerifyModel(const VerifyOptions& options,
                                                        Backend* expected, Backend& got,
                                                        CompareOptions compare) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, options.model.Load());
  SLUICE_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, TokensOf(options, *model));
  DecoderOptions decoder;
  SLUICE_RETURN_IF_ERROR(options.cache.Apply(&decoder));
  const auto count = static_cast<int64_t>(tokens.size());
  decoder.context = std::max(options.context, count);
  decoder.max_tokens = count;
  SLUICE_ASSIGN_OR_RETURN(Graph graph, model->BuildGraph(decoder));
  // Adapters are part of what both sides compute.
  SLUICE_RETURN_IF_ERROR(
      RunPasses({*FindPass("add_lora")}, {}, {.updates = model->updates()}, &graph));
  PrintWarnings(*model);
  if (compare.tolerance == 0) compare.tolerance = DefaultTolerance(graph);
  if (options.packed) compare.tolerance = std::max(compare.tolerance, kRoundedTo8Bits);
  const DecoderSetup setup = {graph, model->weights(), tokens,
                              options.packed ? std::numeric_limits<int64_t>::max() : 0};
  return options.pass_by_pass ? ComparePasses(setup, got, compare)
                              : CompareBackends(setup, expected, got, compare);
}

absl::StatusOr<std::vector<StepComparison>> VerifyGraph(const VerifyOptions& options,
                                                        Backend* expected, Backend& got,
                                                        CompareOptions compare) {
  if (!options.model.lora.empty()) {
    return absl::InvalidArgumentError("--lora needs a model: a graph has its adapters in it");
  }
  SLUICE_ASSIGN_OR_RETURN(const std::string content, ReadFile(options.model.path));
  SLUICE_ASSIGN_OR_RETURN(const Graph graph, ReadGraph(content, options.model.path));
  if (compare.tolerance == 0) compare.tolerance = DefaultTolerance(graph);
  return options.pass_by_pass ? ComparePasses(graph, options.seed, got, compare)
                              : CompareBackends(graph, options.seed, expected, got, compare);
}

void PrintStep(const StepComparison& step) {
  const Comparison& c = step.comparison;
  if (c.compared == 0 && c.only_expected == 0) {
    std::cout << step.step << ": " << c.only_got << " values looked at\n";
    return;
  }
  std::cout << step.step << ": " << c.compared << " values compared, " << c.only_expected
            << " on one side only, " << c.only_got << " on the other\n";
  for (const ValueDifference& value : c.worst) {
    if (value.nmse == 0) continue;
    std::cout << absl::StrFormat("  %-24s NMSE %9.3g  largest difference %9.3g\n", value.name,
                                 value.nmse, value.max_abs);
  }
}

void PrintFault(const Fault& fault) {
  std::cout << "\n" << fault.reason << "\n  " << fault.node << "\n";
  const auto print = [](absl::string_view name, const Statistics& statistics,
                        const std::string& note) {
    std::cout << absl::StrFormat("  %-24s %s%s\n", name, statistics.ToString(), note);
  };
  for (const Fault::Operand& operand : fault.operands) {
    print(operand.name, operand.statistics,
          operand.nmse.has_value() ? absl::StrFormat("; NMSE %.3g", *operand.nmse) : "");
  }
  if (fault.expected.has_value()) print("expected", *fault.expected, "");
  print("got", fault.got, "");
}

absl::StatusOr<std::unique_ptr<Backend>> MakeExpected(const VerifyOptions& options) {
  if (options.packed && options.against == "ref") {
    return MakeRefBackend({.round_activations = true});
  }
  const BackendOptions against = {.name = options.against, .threads = options.backend.threads};
  return against.Make();
}

absl::Status Verify(const VerifyOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> got, options.backend.Make());
  std::unique_ptr<Backend> expected;
  if (options.against != "none") {
    SLUICE_ASSIGN_OR_RETURN(expected, MakeExpected(options));
  }
  std::unique_ptr<OutputFile> save;
  if (!options.save_graph.empty()) {
    SLUICE_ASSIGN_OR_RETURN(save,
                            OutputFile::Open(options.save_graph, {.inputs = {options.model.path}}));
  }
  SLUICE_ASSIGN_OR_RETURN(const bool is_model, IsModel(options.model.path));
  const CompareOptions compare = {.tolerance = options.tolerance};
  SLUICE_ASSIGN_OR_RETURN(const std::vector<StepComparison> steps,
                          is_model ? VerifyModel(options, expected.get(), *got, compare)
                                   : VerifyGraph(options, expected.get(), *got, compare));
  for (const StepComparison& step : steps) PrintStep(step);
  const StepComparison* fault = FirstFault(steps);
  if (fault == nullptr) {
    std::cout << (options.against == "none" ? "all finite\n" : "agree\n");
    return absl::OkStatus();
  }
  PrintFault(*fault->comparison.fault);
  if (save != nullptr) {
    SLUICE_RETURN_IF_ERROR(save->Write(Print(fault->graph)));
    SLUICE_RETURN_IF_ERROR(save->Commit());
  }
  return Told();
}

}  // namespace

void AddVerify(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* command = app.add_subcommand(
      "verify", "Compare two backends, or every stage of the pipeline, value by value");
  command->add_option("MODEL,-m,--model", options->model.path,
                      "GGUF file, or a graph in any form, which runs on random data; left out: the "
                      "small story model inside this program");
  DeclareLora(command, &options->model);
  Declare(command, &options->backend);
  command
      ->add_option("--against", options->against,
                   "ref, cpu, or none: look only for NaN and Inf from finite values")
      ->check(CLI::IsMember({"ref", "cpu", "none"}))
      ->capture_default_str();
  auto* by_pass =
      command->add_flag("--pass-by-pass", options->pass_by_pass,
                        "instead: the reference on the graph as built and after each pass");
  command
      ->add_flag("--packed", options->packed,
                 "with weights in layouts of their own, as run has them: the reference rounds "
                 "activations to 8 bits where the kernels do")
      ->excludes(by_pass);
  command->add_option("--tolerance", options->tolerance,
                      "largest NMSE of a value; default: 1e-8, 2.4e-7 where f16, 1.5e-5 where bf16 "
                      "and 9.8e-4 where 8 bits are rounded to");
  auto* ids = command->add_option("--ids", options->ids, "token ids: 1,2,3");
  command->add_option("-p,--prompt", options->prompt, "text instead of token ids")->excludes(ids);
  command->add_option("-c,--ctx-size", options->context, "context; default: as many as tokens");
  command->add_option("--seed", options->seed, "of the random data for a graph")
      ->capture_default_str();
  command->add_option("--save-graph", options->save_graph,
                      "on a difference, write the step's graph here, for sluice reduce");
  Declare(command, &options->cache);
  command->footer(
      "All tokens but the last are one step, the last is another.\n"
      "Exit codes: 0 the sides agree, 1 they do not, or an error is on stderr.");
  command->callback([options, status] { *status = Verify(*options); });
}

}  // namespace sluice::tools
