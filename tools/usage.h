// What all commands have in common in reading a command line: numbers, lists and names, and options
// that cannot act.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice::tools {

// An option and whether it can act in this call.
struct Effect {
  const char* option;  // "--place"
  bool acts;
  std::string needs;  // "with --final": when it would
};

// WrongUsage for the first option that was given and cannot act: "dump: --place acts only with
// --final". For what contradicts the rest of the call.
absl::Status CheckEffects(const CLI::App& command, const std::vector<Effect>& effects);
// Warns of the same instead. For settings that scripts give to calls of all kinds.
void WarnOfIdle(const CLI::App& command, const std::vector<Effect>& effects);

// `work`, unless one of `checks` failed.
absl::Status Checked(std::initializer_list<absl::Status> checks,
                     const std::function<absl::Status()>& work);

// One of `names`, exactly or, with AnyCase, in any case. An error names the nearest.
CLI::Validator OneOf(std::vector<std::string> names);
CLI::Validator AnyCase(std::vector<std::string> names);

// "Examples:" and these lines, then what else there is to say below the options.
void AddExamples(CLI::App* command, std::initializer_list<const char*> lines,
                 const std::string& more = "");

// Help in which lists look as they are written: N,N,...
std::shared_ptr<CLI::FormatterBase> HelpFormat();

// For all options of all commands of `app`: numbers are whole decimal numbers or finite fractions
// that fit their type, a list is one argument with commas, flags take no value, and only texts that
// may be empty are.
void MakeStrict(CLI::App* app);

// What is wrong with a list in `arguments`, the command's name first: the parser drops what is
// empty between commas. "" if nothing.
std::string DescribeEmptyEntry(const CLI::App& app, absl::Span<const std::string> arguments);

// What is wrong with an argument that nothing of `command` takes, and what may have been meant.
std::string DescribeExtra(const CLI::App& command, const std::string& argument);

}  // namespace sluice::tools
