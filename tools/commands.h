// The subcommands of `sluice`, one file each. Each Add function declares the subcommand's options
// and help; its work runs when the command line names it and leaves its outcome in `status`.
#pragma once

#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice::tools {

// A negative outcome that stdout has already told: exit code 1 without a line on stderr.
inline absl::Status Told() { return absl::Status(absl::StatusCode::kFailedPrecondition, ""); }

// What was asked for contradicts itself or a file: exit code 2.
absl::Status WrongUsage(absl::string_view message);
bool IsWrongUsage(const absl::Status& status);

void AddBench(CLI::App& app, absl::Status* status);
void AddBenchServe(CLI::App& app, absl::Status* status);
void AddDevices(CLI::App& app, absl::Status* status);
void AddDiff(CLI::App& app, absl::Status* status);
void AddDump(CLI::App& app, absl::Status* status);
void AddEmbed(CLI::App& app, absl::Status* status);
void AddGguf(CLI::App& app, absl::Status* status);
void AddInspect(CLI::App& app, absl::Status* status);
void AddLogits(CLI::App& app, absl::Status* status);
void AddMakeModel(CLI::App& app, absl::Status* status);
void AddOps(CLI::App& app, absl::Status* status);
void AddOpt(CLI::App& app, absl::Status* status);
void AddProfile(CLI::App& app, absl::Status* status);
void AddQuantize(CLI::App& app, absl::Status* status);
void AddReduce(CLI::App& app, absl::Status* status);
void AddPasses(CLI::App& app, absl::Status* status);
void AddPerplexity(CLI::App& app, absl::Status* status);
void AddRun(CLI::App& app, absl::Status* status);
void AddServe(CLI::App& app, absl::Status* status);
void AddTokenize(CLI::App& app, absl::Status* status);
void AddVerify(CLI::App& app, absl::Status* status);

}  // namespace sluice::tools
