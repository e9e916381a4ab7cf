// sluice quantize: a model file in smaller formats.
#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <iostream>
#include <memory>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "graph/status_macros.h"
#include "models/weights/quantize_model.h"
#include "tools/commands.h"
#include "tools/terminal/markdown_table.h"
#include "tools/terminal/progress.h"
#include "tools/terminal/units.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

struct QuantizeCommand {
  std::string input, output, type;
  std::vector<std::string> overrides;
  bool pure = false, allow_requantize = false, dry_run = false;
  int threads = 0;
};

// What a signal handler may touch.
std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void OnInterrupt(int) { interrupted = true; }

// While it lives, Ctrl-C and the like end the work in order, and a wait for the reader of a FIFO.
class InterruptGuard {
 public:
  InterruptGuard() {
    for (size_t i = 0; i < kSignals.size(); ++i) {
      sigaction(kSignals[i], nullptr, &before_[i]);
      if (before_[i].sa_handler == SIG_IGN) continue;  // under nohup
      struct sigaction action = {};                    // without SA_RESTART
      action.sa_handler = OnInterrupt;
      sigaction(kSignals[i], &action, nullptr);
    }
  }
  ~InterruptGuard() {
    for (size_t i = 0; i < kSignals.size(); ++i) {
      sigaction(kSignals[i], &before_[i], nullptr);
    }
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  static constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, kSignals.size()> before_ = {};
};

std::string MiB(int64_t bytes) {
  return absl::StrFormat("%.2f", static_cast<double>(bytes) / (1 << 20));
}

void PrintPlan(absl::Span<const TensorPlan> plan) {
  std::vector<std::vector<std::string>> rows = {{"tensor", "shape", "from", "to", "MiB"}};
  int64_t before = 0, after = 0, elements = 0;
  for (const TensorPlan& tensor : plan) {
    before += tensor.tensor->bytes;
    after += tensor.bytes();
    elements += tensor.elements();
    rows.push_back({Printable(tensor.tensor->name), absl::StrJoin(tensor.tensor->shape, "x"),
                    std::string(Name(tensor.tensor->dtype)), std::string(Name(tensor.dtype)),
                    MiB(tensor.bytes())});
  }
  const double bits =
      8 * static_cast<double>(after) / static_cast<double>(std::max<int64_t>(elements, 1));
  std::cout << MarkdownTable(rows)
            << absl::StreamFormat("\n%s -> %s, %.2f bits per weight\n",
                                  BytesText(static_cast<double>(before)),
                                  BytesText(static_cast<double>(after)), bits);
}

absl::StatusOr<QuantizeOptions> OptionsOf(const QuantizeCommand& command) {
  QuantizeOptions options = {.mix = FindQuantisationMix(command.type),
                             .pure = command.pure,
                             .allow_requantize = command.allow_requantize,
                             .threads = command.threads};
  if (command.threads == 0) {
    options.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  }
  for (const std::string& text : command.overrides) {
    absl::StatusOr<TypeOverride> override = TypeOverride::Parse(text);
    if (!override.ok()) {
      return absl::Status(override.status().code(),
                          absl::StrCat("--tensor-type ", override.status().message()));
    }
    options.overrides.push_back(*std::move(override));
  }
  return options;
}

// Each tensor goes by the first that matches.
absl::Status CheckOverrides(const QuantizeCommand& command, const QuantizeOptions& options,
                            absl::Span<const TensorPlan> plan) {
  std::vector<bool> acts(options.overrides.size());
  for (const TensorPlan& tensor : plan) {
    if (!IsQuantisable(tensor.tensor->name, tensor.tensor->shape)) continue;
    for (size_t i = 0; i < acts.size(); ++i) {
      SLUICE_ASSIGN_OR_RETURN(const bool matches,
                              options.overrides[i].Matches(tensor.tensor->name));
      if (!matches) continue;
      acts[i] = true;
      break;
    }
  }
  for (size_t i = 0; i < acts.size(); ++i) {
    if (acts[i]) continue;
    return WrongUsage(absl::StrCat(
        "quantize: --tensor-type ", command.overrides[i],
        " acts on no tensor: no weight that can be quantised has such a name, or all of them go by "
        "one before it; `sluice gguf` lists the names"));
  }
  return absl::OkStatus();
}

absl::Status Quantize(const QuantizeCommand& command) {
  SLUICE_ASSIGN_OR_RETURN(QuantizeOptions options, OptionsOf(command));
  SLUICE_ASSIGN_OR_RETURN(const ModelFiles files, OpenModelFiles(command.input));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<TensorPlan> plan, PlanQuantization(files, options));
  SLUICE_RETURN_IF_ERROR(CheckOverrides(command, options, plan));
  if (!command.dry_run) {
    int64_t bytes = 0;
    for (const TensorPlan& tensor : plan) bytes += tensor.bytes();
    const InterruptGuard guard;
    Progress progress(absl::StrCat("writing ", command.output), bytes);
    options.on_written = [&progress](int64_t written) {
      progress.Advance(written);
      return !interrupted;
    };
    SLUICE_RETURN_IF_ERROR(WriteQuantized(files, plan, options, command.output));
  }
  PrintPlan(plan);
  return absl::OkStatus();
}

}  // namespace

void AddQuantize(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<QuantizeCommand>();
  CLI::App* command =
      app.add_subcommand("quantize", "Write a model file with its weights in smaller formats");
  std::vector<std::string> types;
  for (const QuantisationMix& mix : QuantisationMixes()) types.emplace_back(mix.name);
  command->add_option("IN", options->input, "GGUF file to read; of a split model the first part")
      ->required();
  command->add_option("OUT", options->output, "GGUF file to write")->required();
  command
      ->add_option("TYPE", options->type, "a format, or a mix of formats as llama.cpp mixes them")
      ->required()
      ->transform(AnyCase(types));
  command->add_flag("--pure", options->pure, "every matrix in the same format: no mix");
  command
      ->add_option("--tensor-type", options->overrides,
                   "REGEX=TYPE: the format of tensors whose names match; may be repeated, the "
                   "first that matches wins")
      ->type_name("REGEX=TYPE");
  command->add_flag("--allow-requantize", options->allow_requantize,
                    "take weights that are quantised already: costs quality");
  command->add_flag("--dry-run", options->dry_run, "only show what each tensor would become");
  command->add_option("-t,--threads", options->threads, "threads; 0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  AddExamples(command, {"quantize f16.gguf q4.gguf Q4_K_M",
                        "quantize f16.gguf q4.gguf Q4_K_M --dry-run    what would become of what",
                        "quantize f16.gguf q4.gguf Q4_0 --tensor-type 'ffn_down=Q8_0'"});
  command->callback([command, options, status] {
    *status =
        Checked({CheckEffects(*command, {{"--threads", !options->dry_run, "without --dry-run"}})},
                [&] { return Quantize(*options); });
  });
}

}  // namespace sluice::tools
