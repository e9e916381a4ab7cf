// sluice bench-serve: how a server does under load, and whether it lasts.
#include <csignal>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "tools/commands.h"
#include "tools/load/load_report.h"
#include "tools/load/soak.h"
#include "tools/terminal/progress.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

struct BenchServeCommand {
  load::Endpoint endpoint{.url = "http://127.0.0.1:8080"};
  load::TrafficOptions traffic;
  double first_ms = 0, gap_ms = 0;
  int64_t soak_minutes = 0, warm_up_seconds = 300, process = 0, held = 0;
  std::string format = "md";
};

absl::Status RunSoak(const BenchServeCommand& command) {
  SLUICE_ASSIGN_OR_RETURN(
      const load::SoakReport report,
      load::Soak(command.endpoint,
                 {.duration = std::chrono::minutes(command.soak_minutes),
                  .warm_up = std::chrono::seconds(command.warm_up_seconds),
                  .process = command.process,
                  .held = command.held,
                  .traffic = command.traffic,
                  .on_minute = [](const std::string& line) { std::cerr << line << "\n"; }}));
  std::cout << (command.format == "json" ? load::SoakJson(report) : load::SoakText(report));
  if (report.ok()) return absl::OkStatus();
  return absl::InternalError("the server did not stand it; what went wrong is listed above");
}

absl::Status RunLoad(BenchServeCommand command) {
  SLUICE_RETURN_IF_ERROR(load::CompletionClient(command.endpoint).Get("/health").status());
  const load::ServiceLevel level = {command.first_ms / 1e3, command.gap_ms / 1e3};
  std::vector<load::TimedCompletion> completions;
  {
    Progress progress("requests", command.traffic.requests);
    command.traffic.on_done = [&progress](int64_t count) { progress.Advance(count); };
    completions = load::RunTraffic(command.endpoint, command.traffic);
  }
  const load::LoadSummary summary = load::Summarise(completions, level);
  std::cout << (command.format == "json" ? load::SummaryJson(summary, level)
                                         : load::SummaryText(summary, level));
  if (summary.failed < summary.requests) return absl::OkStatus();
  return absl::UnavailableError("no request succeeded");
}

void DeclareTraffic(CLI::App* command, load::TrafficOptions* traffic) {
  const auto counts = CLI::Range(int64_t{1}, int64_t{1} << 24);
  const auto sizes = CLI::Range(int64_t{0}, int64_t{1} << 24);
  command->add_option("-r,--requests", traffic->requests, "requests in all")
      ->check(counts)
      ->capture_default_str();
  command->add_option("-c,--clients", traffic->clients, "clients at once")
      ->check(CLI::Range(int64_t{1}, int64_t{4096}))
      ->capture_default_str();
  command
      ->add_option("--rate", traffic->rate,
                   "requests a second that arrive by themselves, at random; 0: each client asks "
                   "when it has its answer")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command->add_option("-p,--n-prompt", traffic->prompt_tokens, "tokens of a prompt")
      ->check(counts)
      ->capture_default_str();
  command
      ->add_option("--shared-prefix", traffic->shared_tokens,
                   "of these, the same at the beginning of all prompts")
      ->check(sizes)
      ->capture_default_str();
  command->add_option("-n,--n-gen", traffic->max_tokens, "tokens of an answer")
      ->check(counts)
      ->capture_default_str();
  command->add_option("--vocabulary", traffic->vocabulary, "token ids of prompts are below")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 24))
      ->capture_default_str();
  command->add_option("-s,--seed", traffic->seed, "of prompts and arrivals")->capture_default_str();
}

}  // namespace

void AddBenchServe(CLI::App& app, absl::Status* status) {
  auto options = std::make_shared<BenchServeCommand>();
  CLI::App* command =
      app.add_subcommand("bench-serve", "Measure a server with an OpenAI API under load");
  command->add_option("--url", options->endpoint.url, "of the server")->capture_default_str();
  command->add_option("--api-key", options->endpoint.api_key, "that the server wants");
  DeclareTraffic(command, &options->traffic);
  const auto times = CLI::Range(0.0, 1e9);
  command
      ->add_option("--slo-first", options->first_ms,
                   "milliseconds to the first text of a good request; 0: any")
      ->check(times);
  command
      ->add_option("--slo-between", options->gap_ms,
                   "milliseconds between pieces of text of a good request, on average; 0: any")
      ->check(times);
  command
      ->add_option("--soak", options->soak_minutes,
                   "minutes of clients that also break off, read slowly and send what is no "
                   "request; fails if anything goes wrong")
      ->check(CLI::Range(int64_t{1}, int64_t{100000}));
  command
      ->add_option("--warm-up", options->warm_up_seconds,
                   "of a soak: seconds after which memory must not grow by more than 5%")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
      ->capture_default_str();
  command->add_option("--pid", options->process, "of a soak: the server, to watch its memory")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  command
      ->add_option(
          "--held", options->held,
          "of a soak: connections beside that say nothing, or, one of five, half a request")
      ->check(CLI::Range(int64_t{0}, int64_t{100000}))
      ->capture_default_str();
  command->add_option("--format", options->format, "md or json")
      ->check(OneOf({"md", "json"}))
      ->capture_default_str();
  AddExamples(
      command,
      {"serve model.gguf -np 16 &",
       "bench-serve -c 16 -r 64                       16 clients, each asks when answered",
       "bench-serve -c 64 -r 200 --rate 2             two requests a second, Poisson",
       "bench-serve -r 8 -p 448 --shared-prefix 400   a prefix that all prompts share",
       "bench-serve --soak 30 -c 32 --pid $!          good and bad clients for 30 minutes"});
  command->callback([command, options, status] {
    std::signal(SIGPIPE, SIG_IGN);  // a server that hangs up is an answer, too
    const bool soaks = options->soak_minutes > 0;
    const std::string with = "with --soak", without = "without --soak";
    *status = Checked({CheckEffects(*command, {{"--warm-up", soaks, with},
                                               {"--pid", soaks, with},
                                               {"--held", soaks, with},
                                               {"--requests", !soaks, without},
                                               {"--rate", !soaks, without},
                                               {"--slo-first", !soaks, without},
                                               {"--slo-between", !soaks, without}})},
                      [&] { return soaks ? RunSoak(*options) : RunLoad(*options); });
  });
}

}  // namespace sluice::tools
