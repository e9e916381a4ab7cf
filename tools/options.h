// Options that several subcommands share, and what is made of them.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/model.h"
#include "runtime/answer.h"
#include "tools/engine/options.h"
#include "tools/engine/session.h"
#include "tools/inspect/memory.h"

namespace sluice::tools {

// The flags of what tools/engine/options.h has.
void Declare(CLI::App* command, ModelOptions* options);
void Declare(CLI::App* command, BackendOptions* options);
void Declare(CLI::App* command, CacheOptions* options);
void Declare(CLI::App* command, CompileOptions* options);
// Of those, all but --buckets, for commands that compile for one size of step.
void DeclarePasses(CLI::App* command, CompileOptions* options);
// -c; `what` the tokens are, `usual` as its default is printed, "": a number.
void Declare(CLI::App* command, ContextOptions* options,
             const std::string& what = "context in tokens", const std::string& usual = "");
// --lora, for commands that build graphs.
void DeclareLora(CLI::App* command, ModelOptions* options);

// What of them cannot act, as CheckEffects says it. `threads_act`: the command computes on the CPU,
// too, whatever the backend.
absl::Status CheckBackend(const CLI::App& command, const BackendOptions& options,
                          bool threads_act = false);
absl::Status CheckCompile(const CLI::App& command, const BackendOptions& backend,
                          const CompileOptions& options);
// Encoders have no cache. `model` has its name in the message.
absl::Status CheckCache(const CLI::App& command, const Model& model);

// Shows how far the packing of weights is, and prints warnings.
SessionEvents OnTerminal();

// What the plan of a session depends on, without opening it.
absl::StatusOr<PlanOptions> PlanOf(const Model& model, const CacheOptions& cache,
                                   const SessionSetup& setup);

// --disable-pass and --explain, which may be repeated; "all" explains every pass.
void DeclareDisable(CLI::App* command, std::vector<std::string>* passes);
void DeclareExplain(CLI::App* command, std::vector<std::string>* passes);
// "1,2,3"; errors name the part that is no number.
absl::StatusOr<std::vector<int32_t>> ParseIds(const std::string& text);

// The whole of a file, "-" for standard input. NotFound with the reason.
absl::StatusOr<std::string> ReadFile(const std::string& path);

void Warn(const std::string& message);  // one line on stderr
// What was odd about a model. Printed once it is known to be usable: a failure stays one line.
// For commands that run as many tokens as they are asked for.
void WarnBeyond(const ModelConfig& config, int64_t tokens);
void PrintWarnings(const Model& model);
void PrintWarnings(const Model& model, const ContextOptions& context);

// Speculative decoding: --draft-ngram and --draft-max.
void DeclareDraft(CLI::App* command, DraftOptions* draft);
// WrongUsage for one without the other, or for steps of `batch` tokens that cannot hold a draft.
absl::Status CheckDraft(const CLI::App& command, const DraftOptions& draft, int64_t batch);

}  // namespace sluice::tools
