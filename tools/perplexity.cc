// sluice perplexity: how well a model predicts a text, and how far from another run.
#include "tools/debug/perplexity.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "graph/status_macros.h"
#include "models/files/mapped_file.h"
#include "models/files/output_file.h"
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/terminal/progress.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

struct PerplexityCommand {
  ModelOptions model;
  BackendOptions backend;
  CacheOptions cache;
  CompileOptions compile;
  std::string text, base, out, format = "md";
  ContextOptions window = {.usual = 512};
  int64_t skip = -1;
  int64_t batch = 512;
};

struct Outcome {
  TextWindows windows;
  int64_t skip = 0;
  PerplexityMeter perplexity;
  DivergenceMeter divergence;  // with a base
};

// Logits of another run: little-endian float32 [tokens, vocabulary], as `sluice logits` writes.
class BaseLogits {
 public:
  static absl::StatusOr<BaseLogits> Open(const std::string& path, int64_t tokens,
                                         int64_t vocabulary) {
    SLUICE_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path));
    const int64_t expected = tokens * vocabulary * static_cast<int64_t>(sizeof(float));
    const auto got = static_cast<int64_t>(file->bytes().size());
    if (got == expected) return BaseLogits(std::move(file), vocabulary);
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected the float32 logits of ", tokens, " tokens of a text and ",
                     vocabulary, " of the vocabulary, ", expected, " bytes, got ", got,
                     "; `sluice perplexity --logits-out` writes them, with the same -f and -c"));
  }

  absl::Span<const float> Row(int64_t position) const {
    const auto* values = reinterpret_cast<const float*>(file_->bytes().data());
    return {values + position * vocabulary_, static_cast<size_t>(vocabulary_)};
  }

 private:
  BaseLogits(std::unique_ptr<MappedFile> file, int64_t vocabulary)
      : file_(std::move(file)), vocabulary_(vocabulary) {}

  std::unique_ptr<MappedFile> file_;
  int64_t vocabulary_;
};

absl::StatusOr<TextWindows> WindowsOf(const PerplexityCommand& command, const Tokenizer& tokenizer,
                                      int64_t length) {
  if (length < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("windows of ", length,
                     " token: nothing is predicted; -c takes 2 or more, up to the model's "
                     "context"));
  }
  SLUICE_ASSIGN_OR_RETURN(const std::string text, ReadFile(command.text));
  TextWindows windows{.ids = tokenizer.Encode(text), .length = length};
  if (tokenizer.adds_bos() && tokenizer.bos() != kNoToken) windows.first = tokenizer.bos();
  if (windows.ids.size() >= 2) return windows;
  return absl::InvalidArgumentError(
      absl::StrCat(command.text, ": ", windows.ids.size(), " tokens, expected 2 at least"));
}

absl::Status Evaluate(const PerplexityCommand& command, Session& session, int64_t chunk,
                      OutputFile* out, Outcome* outcome) {
  const TextWindows& windows = outcome->windows;
  std::optional<BaseLogits> base;
  if (!command.base.empty()) {
    SLUICE_ASSIGN_OR_RETURN(base,
                            BaseLogits::Open(command.base, windows.tokens(), session.vocabulary()));
  }
  Progress progress("perplexity", windows.tokens());
  SLUICE_RETURN_IF_ERROR(
      EvaluateWindows(session, windows, chunk,
                      [&](int64_t position, absl::Span<const float> logits) -> absl::Status {
                        progress.Advance();
                        if (out != nullptr) {
                          const size_t bytes = logits.size() * sizeof(float);
                          absl::Status written = out->Write(logits.data(), bytes);
                          if (!written.ok()) return written;
                        }
                        const int64_t in_window = position % windows.size();
                        if (in_window < outcome->skip || in_window + 1 == windows.size())
                          return absl::OkStatus();
                        const int32_t next = windows.ids[static_cast<size_t>(position + 1)];
                        outcome->perplexity.Add(Predict(logits, next).log_probability);
                        if (base.has_value())
                          outcome->divergence.Add(base->Row(position), logits, next);
                        return absl::OkStatus();
                      }));
  return out != nullptr ? out->Commit() : absl::OkStatus();
}

void PrintText(const PerplexityCommand& command, const Outcome& outcome) {
  const Estimate perplexity = outcome.perplexity.perplexity();
  std::cout << absl::StreamFormat(
      "%d tokens in %d windows of %d, the first %d of each not scored\n", outcome.windows.tokens(),
      outcome.windows.count(), outcome.windows.size(), outcome.skip);
  std::cout << absl::StreamFormat("perplexity      %.4f ± %.4f over %d predictions\n",
                                  perplexity.value, perplexity.error, outcome.perplexity.count());
  if (command.base.empty()) return;
  const DivergenceMeter::Report report = outcome.divergence.report();
  std::cout << absl::StreamFormat("of the base     %.4f ± %.4f\n", report.base_perplexity.value,
                                  report.base_perplexity.error);
  std::cout << absl::StreamFormat("mean KL         %.3e ± %.1e nats\n", report.mean.value,
                                  report.mean.error);
  std::cout << absl::StreamFormat("median, 99%%, max  %.3e, %.3e, %.3e\n", report.median,
                                  report.p99, report.max);
  std::cout << absl::StreamFormat("same best token %.2f%%\n", 100 * report.same_best);
  std::cout << absl::StreamFormat("change of p(next) %.3f%% (root mean square)\n",
                                  100 * report.rms_probability_change);
}

void PrintJson(const PerplexityCommand& command, const Outcome& outcome) {
  const Estimate perplexity = outcome.perplexity.perplexity();
  nlohmann::ordered_json json = {
      {"tokens", outcome.windows.tokens()},        {"windows", outcome.windows.count()},
      {"window", outcome.windows.size()},          {"skipped", outcome.skip},
      {"predictions", outcome.perplexity.count()}, {"perplexity", perplexity.value},
      {"perplexity_error", perplexity.error}};
  if (!command.base.empty()) {
    const DivergenceMeter::Report report = outcome.divergence.report();
    json["base_perplexity"] = report.base_perplexity.value;
    json["kl_mean"] = report.mean.value;
    json["kl_mean_error"] = report.mean.error;
    json["kl_median"] = report.median;
    json["kl_p99"] = report.p99;
    json["kl_max"] = report.max;
    json["same_best"] = report.same_best;
    json["rms_probability_change"] = report.rms_probability_change;
  }
  std::cout << json.dump(2) << "\n";
}

absl::Status RunPerplexity(const PerplexityCommand& command) {
  // The vocabulary says how many tokens there are before anything else is set up.
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, command.model.Load());
  SLUICE_ASSIGN_OR_RETURN(const Tokenizer* const tokenizer, model->tokenizer());
  Outcome outcome;
  SLUICE_ASSIGN_OR_RETURN(outcome.windows,
                          WindowsOf(command, *tokenizer, command.window.For(model->config())));
  const int64_t size = outcome.windows.size();
  outcome.skip = command.skip >= 0 ? command.skip : size / 2 - 1;
  if (outcome.skip >= size - 1) {
    return absl::InvalidArgumentError(absl::StrCat("--skip ", outcome.skip, " leaves nothing of ",
                                                   "windows of ", size, " tokens to score"));
  }
  const std::string context_warning = command.window.Warning(model->config());
  const int64_t chunk = std::min(command.batch, size);
  std::unique_ptr<OutputFile> out;
  if (!command.out.empty()) {
    OutputOptions options = {
        .inputs = model->paths(),
        .bytes = outcome.windows.tokens() * model->config().vocabulary * int64_t{sizeof(float)}};
    options.inputs.insert(options.inputs.end(), {command.text, command.base});
    SLUICE_ASSIGN_OR_RETURN(out, OutputFile::Open(command.out, std::move(options)));
  }
  SLUICE_ASSIGN_OR_RETURN(LoadedSession loaded,
                          OpenSession(std::move(model), command.backend, command.cache,
                                      {.compile = command.compile,
                                       .context = size,
                                       .max_tokens = chunk,
                                       .max_outputs = chunk,
                                       .events = OnTerminal()}));
  if (!context_warning.empty()) Warn(context_warning);
  SLUICE_RETURN_IF_ERROR(Evaluate(command, *loaded.session, chunk, out.get(), &outcome));
  command.format == "json" ? PrintJson(command, outcome) : PrintText(command, outcome);
  return absl::OkStatus();
}

}  // namespace

void AddPerplexity(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<PerplexityCommand>();
  CLI::App* command = app.add_subcommand(
      "perplexity", "Measure how well a model predicts a text, and how far it is from another run");
  Declare(command, &options->model);
  DeclareLora(command, &options->model);
  command->add_option("-f,--file", options->text, "the text; -: stdin")->required();
  Declare(command, &options->window, "tokens of a window");
  command
      ->add_option("--skip", options->skip,
                   "positions at the start of a window that are not scored; -1: half of it")
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--kl-against", options->base,
                      "logits of another run over the same text: also the divergence from them");
  command->add_option("--logits-out", options->out,
                      "write the logits of every position: little-endian float32 "
                      "[tokens, vocabulary]");
  command->add_option("-b,--batch-size,--ubatch-size", options->batch, "tokens of one step")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->capture_default_str();
  command->add_option("-o,--output", options->format, "md or json")
      ->check(OneOf({"md", "json"}))
      ->capture_default_str();
  Declare(command, &options->backend);
  Declare(command, &options->cache);
  Declare(command, &options->compile);
  AddExamples(command,
              {"perplexity f16.gguf -f text.txt --logits-out f16.logits",
               "perplexity q4.gguf -f text.txt --kl-against f16.logits"},
              "Together they show how far a quantised file is from the one that it was made of.");
  command->callback([command, options, status] {
    *status = Checked({CheckBackend(*command, options->backend),
                       CheckCompile(*command, options->backend, options->compile)},
                      [&] { return RunPerplexity(*options); });
  });
}

}  // namespace sluice::tools
