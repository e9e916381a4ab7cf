// sluice verify: two backends, or the stages of the pipeline, compared value by value.
#include <algorithm>
#include <fstream>
#include <iostream>
#include <limits>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "graph/status_macros.h"
#include "graph/text.h"
#include "models/files/file_format.h"
#include "models/files/output_file.h"
#include "passes/pipeline.h"
#include "tools/commands.h"
#include "tools/debug/read_graph.h"
#include "tools/debug/verify.h"
#include "tools/options.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

constexpr size_t kDefaultTokens = 8;

struct VerifyOptions {
  ModelOptions model;  // or a graph
  BackendOptions backend;
  CacheOptions cache;
  std::string against = "ref", prompt, ids, save_graph;
  double tolerance = 0;                   // 0: DefaultTolerance
  ContextOptions context = {.usual = 1};  // at least as many as there are tokens
  uint64_t seed = 1;
  bool pass_by_pass = false;
  bool packed = false;
  bool as_is = false;
};

absl::StatusOr<bool> IsModel(const std::string& path) {
  if (path.empty()) return true;
  std::ifstream file(path, std::ios::binary);
  char magic[kMagicBytes] = {};
  if (!file.read(magic, sizeof(magic))) return false;  // ReadFile says why
  return FindMagic({magic, sizeof(magic)}) != nullptr;
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
  if (options.as_is) {
    return absl::InvalidArgumentError(
        "--as-is needs a graph in a file, as `sluice dump --final` prints it: a model has no plan");
  }
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, options.model.Load());
  SLUICE_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, TokensOf(options, *model));
  DecoderOptions decoder;
  SLUICE_RETURN_IF_ERROR(options.cache.Apply(&decoder));
  const auto count = static_cast<int64_t>(tokens.size());
  if (options.context.asked.value_or(0) > 0 && *options.context.asked < count) {
    return WrongUsage(absl::StrCat("verify: -c ", *options.context.asked, " has no room for the ",
                                   count, " tokens that are run"));
  }
  decoder.context = std::max(options.context.For(model->config()), count);
  decoder.max_tokens = count;
  SLUICE_ASSIGN_OR_RETURN(Graph graph, model->BuildGraph(decoder));
  // Adapters are part of what both sides compute.
  SLUICE_RETURN_IF_ERROR(
      RunPasses({*FindPass("add_lora")}, {}, {.updates = model->updates()}, &graph));
  PrintWarnings(*model, options.context);
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
  SLUICE_ASSIGN_OR_RETURN(const std::string content, ReadFile(options.model.path));
  SLUICE_ASSIGN_OR_RETURN(const Graph graph, ReadGraph(content, options.model.path));
  if (const std::string note = NoteOnPlan(graph, got); !options.as_is && !note.empty()) {
    Warn(absl::StrCat(options.model.path, ": ", note));
  }
  if (compare.tolerance == 0) compare.tolerance = DefaultTolerance(graph);
  const GraphSetup setup = {graph, options.seed, options.as_is};
  return options.pass_by_pass ? ComparePasses(setup, got, compare)
                              : CompareBackends(setup, expected, got, compare);
}

void PrintStep(const StepComparison& step) {
  const Comparison& c = step.comparison;
  if (c.one_sided) {
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

// What there is to say where no side is at fault.
absl::Status Conclude(absl::Span<const StepComparison> steps) {
  const int64_t seen = ValuesSeen(steps);
  if (seen == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no value was compared: ",
        steps.empty() ? "no pass changes what the graph computes"
                      : "the sides have none in common; what no output needs is not computed"));
  }
  const bool one_sided = steps[0].comparison.one_sided;
  std::cout << (one_sided ? "all finite: " : "agree: ") << seen
            << (one_sided ? " values looked at\n" : " values compared\n");
  return absl::OkStatus();
}

// A graph has tokens, a cache and adapters in it; a model needs no random data.
absl::Status CheckInput(const CLI::App& command, const VerifyOptions& options, bool is_model) {
  const std::string model = absl::StrCat("on a model, and ", options.model.path, " is a graph");
  return CheckEffects(
      command, {{"--ids", is_model, model},
                {"--prompt", is_model, model},
                {"--ctx-size", is_model, model},
                {"--cache-type-k", is_model, model},
                {"--cache-type-v", is_model, model},
                {"--lora", is_model, model},
                {"--packed", is_model, absl::StrCat(model, ", which says layout(...) itself")},
                {"--seed", !is_model, "on the random data of a graph, and this is a model"},
                {"--against", !options.pass_by_pass, "without --pass-by-pass"},
                {"--tolerance", options.pass_by_pass || options.against != "none",
                 "where numbers are compared, not with --against none"}});
}

absl::Status Verify(const CLI::App& command, const VerifyOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const bool is_model, IsModel(options.model.path));
  SLUICE_RETURN_IF_ERROR(CheckInput(command, options, is_model));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> got, options.backend.Make());
  std::unique_ptr<Backend> expected;
  if (options.against != "none") {
    const BackendOptions against = {.name = options.against, .threads = options.backend.threads};
    SLUICE_ASSIGN_OR_RETURN(expected, against.Make());
  }
  std::unique_ptr<OutputFile> save;
  if (!options.save_graph.empty()) {
    SLUICE_ASSIGN_OR_RETURN(save,
                            OutputFile::Open(options.save_graph, {.inputs = {options.model.path}}));
  }
  const CompareOptions compare = {.tolerance = options.tolerance};
  SLUICE_ASSIGN_OR_RETURN(const std::vector<StepComparison> steps,
                          is_model ? VerifyModel(options, expected.get(), *got, compare)
                                   : VerifyGraph(options, expected.get(), *got, compare));
  for (const StepComparison& step : steps) PrintStep(step);
  const StepComparison* fault = FirstFault(steps);
  if (fault == nullptr) return Conclude(steps);
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
      ->check(OneOf({"ref", "cpu", "none"}))
      ->capture_default_str();
  auto* by_pass =
      command->add_flag("--pass-by-pass", options->pass_by_pass,
                        "instead: the reference on the graph as built and after each pass");
  command
      ->add_flag("--packed", options->packed,
                 "of a model, with weights in layouts of their own, as run has them: the reference "
                 "rounds activations to 8 bits where the kernels do; a graph says so itself")
      ->excludes(by_pass);
  command
      ->add_flag("--as-is", options->as_is,
                 "the kernels, places and scratch memory that the graph has: checks the rules of "
                 "compiled graphs and runs no pass; else memory is planned anew")
      ->excludes(by_pass);
  command
      ->add_option("--tolerance", options->tolerance,
                   "largest NMSE of a value; default: 1e-8, 2.4e-7 where f16, 1.5e-5 where bf16 "
                   "and 9.8e-4 where 8 bits are rounded to")
      ->check(CLI::PositiveNumber);
  auto* ids = command->add_option("--ids", options->ids, "token ids: 1,2,3");
  command->add_option("-p,--prompt", options->prompt, "text instead of token ids")->excludes(ids);
  Declare(command, &options->context, "context in tokens", "as many as there are");
  command->add_option("--seed", options->seed, "of the random data for a graph")
      ->capture_default_str();
  command->add_option("--save-graph", options->save_graph,
                      "on a difference, write the step's graph here, for sluice reduce");
  Declare(command, &options->cache);
  AddExamples(
      command,
      {"verify model.gguf -p \"Once upon a time\"    two backends, step by step",
       "verify model.gguf --pass-by-pass            the reference before and after each pass",
       "verify step.ir --seed 2 --against none      a graph on random data: only NaN and Inf"},
      "All tokens but the last are one step, the last is another.\n"
      "Exit codes: 0 the sides agree, 1 they do not, nothing was compared, or an error is on "
      "stderr.");
  command->callback([command, options, status] {
    *status = Checked({CheckBackend(*command, options->backend, options->against == "cpu")},
                      [&] { return Verify(*command, *options); });
  });
}

}  // namespace sluice::tools
