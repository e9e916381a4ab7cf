// sluice bench: speed of prompt processing and text generation, in llama-bench's terms.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <memory>
#include <numeric>
#include <random>

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "graph/status_macros.h"
#include "runtime/machine_memory.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/terminal/progress.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 24;

struct BenchOptions {
  ModelOptions model;
  BackendOptions backend;
  CacheOptions cache;
  CompileOptions compile;
  std::vector<int64_t> prompts = {512};
  std::vector<int64_t> generations = {128};
  std::vector<std::string> both;  // "512,128": a prompt, then generation
  std::vector<int64_t> parallel = {1};
  int64_t depth = 0;
  int64_t batch = 512;
  int repetitions = 5;
  std::string output = "md";
};

// One line of the result: a test and its speeds, one per repetition, in tokens per second of all
// sequences together.
struct BenchResult {
  int64_t prompt = 0, generation = 0, sequences = 1, depth = 0;
  std::vector<double> samples;

  std::string Name() const {
    std::string name = prompt > 0 ? absl::StrCat("pp", prompt) : "";
    if (generation > 0) absl::StrAppend(&name, prompt > 0 ? "+" : "", "tg", generation);
    if (sequences > 1) absl::StrAppend(&name, " x", sequences);
    if (depth > 0) absl::StrAppend(&name, " @ d", depth);
    return name;
  }
  double Mean() const {
    return std::accumulate(samples.begin(), samples.end(), 0.0) /
           static_cast<double>(samples.size());
  }
  double Spread() const {  // standard deviation of the sample
    if (samples.size() < 2) return 0;
    double sum = 0;
    for (double s : samples) sum += (s - Mean()) * (s - Mean());
    return std::sqrt(sum / static_cast<double>(samples.size() - 1));
  }
  double Median() const {
    std::vector<double> sorted = samples;
    std::sort(sorted.begin(), sorted.end());
    const size_t middle = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }
};

std::vector<int32_t> RandomIds(int64_t count, int64_t vocabulary, std::mt19937& random) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocabulary)));
  }
  return ids;
}

using Sequences = std::vector<std::unique_ptr<Sequence>>;

// The sequences of a test, each with its depth of tokens.
absl::StatusOr<Sequences> Prepare(Session& session, const BenchResult& test, std::mt19937& random) {
  Sequences sequences;
  for (int64_t i = 0; i < test.sequences; ++i) {
    sequences.push_back(session.NewSequence());
    const auto ids = RandomIds(test.depth, session.vocabulary(), random);
    SLUICE_RETURN_IF_ERROR(session.Prefill(*sequences.back(), ids).status());
  }
  return sequences;
}

// Appends `count` random tokens to each sequence, one step each, with what common samplers look at.
absl::Status Generate(Session& session, const Sequences& sequences, int64_t count,
                      std::mt19937& random) {
  for (int64_t i = 0; i < count; ++i) {
    const auto ids =
        RandomIds(static_cast<int64_t>(sequences.size()), session.vocabulary(), random);
    std::vector<StepToken> tokens;
    for (size_t s = 0; s < ids.size(); ++s) tokens.push_back({sequences[s].get(), ids[s], true});
    SLUICE_RETURN_IF_ERROR(session.StepRows(tokens, RowForm::kLikeliest).status());
  }
  return absl::OkStatus();
}

// Runs one repetition and returns its tokens per second. The sequences stay as they were.
absl::StatusOr<double> Measure(Session& session, const Sequences& sequences,
                               const BenchResult& test, std::mt19937& random) {
  const auto prompt = RandomIds(test.prompt, session.vocabulary(), random);
  const auto start = std::chrono::steady_clock::now();
  if (test.prompt > 0) {
    SLUICE_RETURN_IF_ERROR(session.Prefill(*sequences[0], prompt).status());
  }
  SLUICE_RETURN_IF_ERROR(Generate(session, sequences, test.generation, random));
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  for (const auto& sequence : sequences) sequence->Truncate(test.depth);
  const int64_t count = test.prompt + test.generation * test.sequences;
  return static_cast<double>(count) / elapsed.count();
}

absl::StatusOr<BenchResult> PromptAndGeneration(const std::string& text, int64_t depth) {
  BenchResult test{.depth = depth};
  const std::vector<absl::string_view> sizes = absl::StrSplit(text, ',');
  if (sizes.size() == 2 && absl::SimpleAtoi(sizes[0], &test.prompt) &&
      absl::SimpleAtoi(sizes[1], &test.generation) && test.prompt > 0 && test.generation > 0 &&
      std::max(test.prompt, test.generation) <= kMaxTokens) {
    return test;
  }
  return absl::InvalidArgumentError(absl::StrCat("-pg ", text, ": expected two numbers from 1 to ",
                                                 kMaxTokens, ", as in 512,128"));
}

absl::StatusOr<std::vector<BenchResult>> TestsOf(const BenchOptions& options) {
  std::vector<BenchResult> tests;
  for (int64_t p : options.prompts) {
    if (p > 0) tests.push_back({.prompt = p, .depth = options.depth});
  }
  for (int64_t n : options.generations) {
    for (int64_t sequences : options.parallel) {
      if (n > 0) {
        tests.push_back({.generation = n, .sequences = sequences, .depth = options.depth});
      }
    }
  }
  for (const std::string& text : options.both) {
    SLUICE_ASSIGN_OR_RETURN(tests.emplace_back(), PromptAndGeneration(text, options.depth));
  }
  if (tests.empty()) return absl::InvalidArgumentError("nothing to measure: -p, -n and -pg are 0");
  return tests;
}

absl::Status RunTests(const BenchOptions& options, Session& session,
                      std::vector<BenchResult>* tests) {
  std::mt19937 random(1234);
  Progress progress("bench", static_cast<int64_t>(tests->size()) * (options.repetitions + 1));
  for (BenchResult& test : *tests) {
    SLUICE_ASSIGN_OR_RETURN(const Sequences sequences, Prepare(session, test, random));
    // A first run compiles the executables and touches every page.
    BenchResult warm_up = test;
    warm_up.generation = std::min<int64_t>(warm_up.generation, 4);
    SLUICE_RETURN_IF_ERROR(Measure(session, sequences, warm_up, random).status());
    progress.Advance();
    for (int i = 0; i < options.repetitions; ++i) {
      SLUICE_ASSIGN_OR_RETURN(const double speed, Measure(session, sequences, test, random));
      test.samples.push_back(speed);
      progress.Advance();
    }
  }
  return absl::OkStatus();
}

// What a process needs beside time to compute.
struct ProcessFacts {
  double load_seconds = 0;  // until the first step could run
  int64_t peak_bytes = 0;   // resident
};

struct ModelFacts {
  std::string name;
  int64_t bytes = 0, parameters = 0;
};

ModelFacts FactsOf(const Model& model) {
  ModelFacts facts;
  const MetadataValue* name = model.file().Find("general.name");
  const auto text = name != nullptr ? name->AsString() : absl::StatusOr<absl::string_view>("");
  facts.name = absl::StrCat(model.config().architecture, " ", Printable(text.value_or("")));
  for (const StoredTensor& tensor : model.file().tensors()) {
    facts.bytes += tensor.bytes;
    facts.parameters +=
        std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>());
  }
  return facts;
}

void PrintMarkdown(const ModelFacts& facts, const Backend& backend,
                   const std::vector<BenchResult>& results) {
  std::cout << "| model | size | params | backend | threads | test | t/s |\n"
            << "| --- | ---: | ---: | --- | ---: | ---: | ---: |\n";
  for (const BenchResult& result : results) {
    std::cout << absl::StreamFormat(
        "| %s | %.2f MiB | %.2f M | %s | %d | %s | %.2f ± %.2f |\n", facts.name,
        static_cast<double>(facts.bytes) / (1 << 20), static_cast<double>(facts.parameters) / 1e6,
        backend.name(), backend.caps().threads(), result.Name(), result.Mean(), result.Spread());
  }
}

// One record for each result, with the names that llama-bench has where it has them.
std::vector<nlohmann::ordered_json> Records(const BenchOptions& options, const ModelFacts& facts,
                                            const Backend& backend, const ProcessFacts& process,
                                            const std::vector<BenchResult>& results) {
  std::vector<nlohmann::ordered_json> records;
  for (const BenchResult& result : results) {
    records.push_back({{"model", facts.name},
                       {"model_filename", options.model.path},
                       {"model_size", facts.bytes},
                       {"model_n_params", facts.parameters},
                       {"backend", std::string(backend.name())},
                       {"n_threads", backend.caps().threads()},
                       {"type_k", options.cache.k_type},
                       {"type_v", options.cache.v_type},
                       {"n_ubatch", options.batch},
                       {"n_prompt", result.prompt},
                       {"n_gen", result.generation},
                       {"n_depth", result.depth},
                       {"n_parallel", result.sequences},
                       {"test", result.Name()},
                       {"avg_ts", result.Mean()},
                       {"median_ts", result.Median()},
                       {"stddev_ts", result.Spread()},
                       {"load_s", process.load_seconds},
                       {"peak_rss", process.peak_bytes},
                       {"samples_ts", result.samples}});
  }
  return records;
}

// File names may hold any bytes; JSON may not.
std::string Dump(const nlohmann::ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

// A field of RFC 4180: JSON's text, in quotes with those inside doubled where it is no number.
std::string CsvField(const nlohmann::ordered_json& value) {
  if (value.is_number()) return value.dump();
  const std::string text = value.is_string() ? value.get<std::string>() : Dump(value, -1);
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

void PrintCsv(const std::vector<nlohmann::ordered_json>& records) {
  std::vector<std::string> names;
  for (const auto& [name, value] : records[0].items()) names.push_back(name);
  std::cout << absl::StrJoin(names, ",") << "\n";
  for (const nlohmann::ordered_json& record : records) {
    std::vector<std::string> fields;
    for (const auto& value : record) fields.push_back(CsvField(value));
    std::cout << absl::StrJoin(fields, ",") << "\n";
  }
}

void PrintRecords(const std::string& format, const std::vector<nlohmann::ordered_json>& records) {
  if (format == "csv") return PrintCsv(records);
  if (format == "json") {
    std::cout << Dump(records, 2) << "\n";
    return;
  }
  for (const nlohmann::ordered_json& record : records) std::cout << Dump(record, -1) << "\n";
}

absl::Status Bench(const BenchOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(std::vector<BenchResult> tests, TestsOf(options));
  int64_t most_sequences = 1, longest = 0;
  for (const BenchResult& test : tests) {
    most_sequences = std::max(most_sequences, test.sequences);
    longest = std::max(longest, test.prompt + test.generation);
  }
  const auto start = std::chrono::steady_clock::now();
  SLUICE_ASSIGN_OR_RETURN(LoadedSession loaded,
                          OpenSession(options.model, options.backend, options.cache,
                                      {.compile = options.compile,
                                       .context = options.depth + longest,
                                       .max_tokens = options.batch,
                                       .max_outputs = most_sequences,
                                       .max_seqs = most_sequences,
                                       .form = RowForm::kLikeliest,
                                       .events = OnTerminal()}));
  const std::chrono::duration<double> load = std::chrono::steady_clock::now() - start;
  WarnBeyond(loaded.model->config(), options.depth + longest);
  if (loaded.session->max_context() < options.depth + longest) {
    return absl::InvalidArgumentError(absl::StrCat("tests need a context of ",
                                                   options.depth + longest, ", the model has ",
                                                   loaded.session->max_context()));
  }
  SLUICE_RETURN_IF_ERROR(RunTests(options, *loaded.session, &tests));
  SLUICE_ASSIGN_OR_RETURN(const ProcessMemory memory, ReadProcessMemory());
  const ModelFacts facts = FactsOf(*loaded.model);
  if (options.output == "md") {
    PrintMarkdown(facts, *loaded.backend, tests);
  } else {
    const ProcessFacts process = {.load_seconds = load.count(), .peak_bytes = memory.peak};
    PrintRecords(options.output, Records(options, facts, *loaded.backend, process, tests));
  }
  return absl::OkStatus();
}

}  // namespace

void AddBench(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand("bench", "Measure the speed of prompts and of generation");
  Declare(command, &options->model);
  DeclareLora(command, &options->model);
  const auto sizes = CLI::Range(int64_t{0}, kMaxTokens);
  command->add_option("-p,--n-prompt", options->prompts, "prompt lengths: 512,128; 0: none")
      ->delimiter(',')
      ->check(sizes)
      ->capture_default_str();
  command->add_option("-n,--n-gen", options->generations, "generation lengths: 128; 0: none")
      ->delimiter(',')
      ->check(sizes)
      ->capture_default_str();
  command->add_option("--prompt-gen", options->both,
                      "-pg: a prompt, then generation: 512,128; may be repeated");
  command
      ->add_option("--parallel", options->parallel,
                   "sequences that generate side by side, a token each in a step: 1,4,16")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, int64_t{4096}))
      ->capture_default_str();
  command->add_option("-d,--n-depth", options->depth, "tokens in each context before each test")
      ->check(sizes)
      ->capture_default_str();
  command->add_option("-b,--batch-size,--ubatch-size", options->batch, "prompt tokens of one step")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->capture_default_str();
  command->add_option("-r,--repetitions", options->repetitions, "runs of each test")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("-o,--output", options->output, "md, csv, json or jsonl")
      ->check(OneOf({"md", "csv", "json", "jsonl"}))
      ->capture_default_str();
  Declare(command, &options->backend);
  Declare(command, &options->cache);
  Declare(command, &options->compile);
  AddExamples(command, {"bench model.gguf -p 512 -n 128 -t 2         prompts, then generation",
                        "bench model.gguf -p 0 -n 64 --parallel 1,4  sequences side by side",
                        "bench model.gguf -pg 512,128 -d 2048 -o md  both, deep in a context"});
  command->callback([command, options, status] {
    const auto is_some = [](int64_t size) { return size > 0; };
    const bool prompts = std::any_of(options->prompts.begin(), options->prompts.end(), is_some);
    const bool generations =
        std::any_of(options->generations.begin(), options->generations.end(), is_some);
    *status = Checked({CheckBackend(*command, options->backend),
                       CheckCompile(*command, options->backend, options->compile),
                       CheckEffects(*command, {{"--batch-size", prompts || !options->both.empty(),
                                                "on prompts, and -p and -pg are 0"},
                                               {"--parallel", generations, "on -n, which is 0"}})},
                      [&] { return Bench(*options); });
  });
}

}  // namespace sluice::tools
