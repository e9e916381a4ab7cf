#include "tools/usage.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "graph/nearest_name.h"
#include "tools/commands.h"
#include "tools/options.h"

namespace sluice::tools {
namespace {

// Texts that may be empty: a prompt that is only the token that begins a text, no system message,
// no passes.
constexpr absl::string_view kMayBeEmpty[] = {"prompt", "system", "passes"};

std::string Nearest(const std::string& name, const std::vector<std::string>& known) {
  return DidYouMean(name, std::vector<absl::string_view>(known.begin(), known.end()));
}

// "" if it can act or was not given; not all commands have all options of a group.
std::string WhyIdle(const CLI::App& command, const Effect& effect) {
  const CLI::Option* option = command.get_option_no_throw(effect.option);
  if (effect.acts || option == nullptr || option->count() == 0) return "";
  return absl::StrCat(command.get_name(), ": ", effect.option, " acts only ", effect.needs);
}

// Why `text` is no number of a type as CLI11 names it; "" if it is one, or the type is no number.
// CLI11 itself takes octal and hexadecimal ones, cuts off what does not fit and reads "" as 0.
std::string WhyNoNumber(absl::string_view type, const std::string& text) {
  const bool is_plain = !text.empty() && text.find_first_not_of("+-.0123456789e") == text.npos &&
                        !absl::StartsWith(text, "+");
  if (type == "FLOAT") {
    double value = 0;
    if (is_plain && absl::SimpleAtod(text, &value) && std::isfinite(value)) return "";
    return absl::StrCat("expected a finite number, got '", text, "'");
  }
  int64_t number = 0;
  uint64_t natural = 0;
  const bool is_natural = type == "UINT";
  const bool fits = is_natural ? absl::SimpleAtoi(text, &natural) : absl::SimpleAtoi(text, &number);
  if (is_plain && fits) return "";
  const size_t sign = !is_natural && absl::StartsWith(text, "-") ? 1 : 0;
  const bool is_digits =
      text.size() > sign && text.find_first_not_of("0123456789", sign) == text.npos;
  return absl::StrCat("expected a whole number", is_natural ? " from 0 on" : "", ", got '", text,
                      "'", is_digits ? ", which does not fit into 64 bits" : "");
}

// "INT", "UINT", "FLOAT", or "" for what is no number.
std::string NumberType(const CLI::Option& option) {
  const std::string name = option.get_type_name();
  const std::string type = name.substr(0, name.find(':'));
  return type == "INT" || type == "UINT" || type == "FLOAT" ? type : "";
}

bool MayBeEmpty(const CLI::Option& option) {
  return std::any_of(std::begin(kMayBeEmpty), std::end(kMayBeEmpty),
                     [&](absl::string_view name) { return option.check_lname(std::string(name)); });
}

void MakeStrict(CLI::Option* option) {
  if (option->get_items_expected_max() == 0) {
    option->disable_flag_override();
    return;
  }
  if (option->nonpositional() && option->get_items_expected_max() > 1) {
    option->allow_extra_args(false);
  }
  const std::string type = NumberType(*option);
  CLI::Validator validator("");
  validator.operation([type, may_be_empty = MayBeEmpty(*option)](std::string& text) -> std::string {
    if (!type.empty()) return WhyNoNumber(type, text);
    return text.empty() && !may_be_empty ? "is empty" : "";
  });
  option->transform(std::move(validator));  // before all checks, which take what is odd
}

class Help : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    const bool is_list = option->get_items_expected_max() > 1;
    if (!is_list || !option->nonpositional() || !option->get_option_text().empty()) {
      return CLI::Formatter::make_option_opts(option);
    }
    std::string type = option->get_type_name();
    if (option->get_delimiter() != '\0') {
      const std::string one = type.substr(0, type.find(':'));
      type.insert(one.size(), absl::StrCat(",", one, ",..."));
    }
    std::string fallback = option->get_default_str();
    fallback.erase(std::remove_if(fallback.begin(), fallback.end(),
                                  [](char c) { return c == '[' || c == ']'; }),
                   fallback.end());
    return absl::StrCat(" ", type, fallback.empty() ? "" : "=", fallback);
  }
};

CLI::Validator MemberOf(std::vector<std::string> names, bool ignores_case) {
  CLI::Validator validator(absl::StrCat("{", absl::StrJoin(names, ","), "}"));
  validator.operation([names = std::move(names), ignores_case](std::string& text) -> std::string {
    for (const std::string& name : names) {
      if (name != text && !(ignores_case && absl::EqualsIgnoreCase(name, text))) continue;
      text = name;
      return "";
    }
    return absl::StrCat("expected one of ", absl::StrJoin(names, ", "), ", got '", text, "'",
                        Nearest(text, names));
  });
  return validator;
}

void AppendNames(const CLI::App& command, std::vector<std::string>* names) {
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names->push_back("--" + name);
  }
  for (const CLI::App* group : command.get_subcommands({})) AppendNames(*group, names);
}

// Marks a status as the caller's fault.
constexpr absl::string_view kUsageMark = "sluice.usage";

}  // namespace

absl::Status WrongUsage(absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kUsageMark, absl::Cord());
  return status;
}

bool IsWrongUsage(const absl::Status& status) { return status.GetPayload(kUsageMark).has_value(); }

absl::Status CheckEffects(const CLI::App& command, const std::vector<Effect>& effects) {
  for (const Effect& effect : effects) {
    const std::string why = WhyIdle(command, effect);
    if (!why.empty()) return WrongUsage(why);
  }
  return absl::OkStatus();
}

void WarnOfIdle(const CLI::App& command, const std::vector<Effect>& effects) {
  for (const Effect& effect : effects) {
    const std::string why = WhyIdle(command, effect);
    if (!why.empty()) Warn(why);
  }
}

absl::Status Checked(std::initializer_list<absl::Status> checks,
                     const std::function<absl::Status()>& work) {
  for (const absl::Status& check : checks) {
    if (!check.ok()) return check;
  }
  return work();
}

CLI::Validator OneOf(std::vector<std::string> names) { return MemberOf(std::move(names), false); }
CLI::Validator AnyCase(std::vector<std::string> names) { return MemberOf(std::move(names), true); }

void AddExamples(CLI::App* command, std::initializer_list<const char*> lines,
                 const std::string& more) {
  std::string text = "Examples:";
  for (const char* line : lines) absl::StrAppend(&text, "\n  sluice ", line);
  command->footer(more.empty() ? text : absl::StrCat(text, "\n\n", more));
}

std::shared_ptr<CLI::FormatterBase> HelpFormat() {
  auto format = std::make_shared<Help>();
  format->column_width(34);
  return format;
}

void MakeStrict(CLI::App* app) {
  for (CLI::Option* option : app->get_options()) MakeStrict(option);
  for (CLI::App* command : app->get_subcommands([](CLI::App*) { return true; })) {
    MakeStrict(command);
  }
}

std::string DescribeEmptyEntry(const CLI::App& app, absl::Span<const std::string> arguments) {
  if (arguments.empty()) return "";
  const std::vector<const CLI::App*> commands = app.get_subcommands(
      [&](const CLI::App* command) { return command->get_name() == arguments[0]; });
  for (size_t i = 1; i < arguments.size() && !commands.empty(); ++i) {
    const size_t equals = std::min(arguments[i].find('='), arguments[i].size());
    const std::string name = arguments[i].substr(0, equals);
    const CLI::Option* option =
        absl::StartsWith(name, "-") ? commands[0]->get_option_no_throw(name) : nullptr;
    if (option == nullptr || option->get_delimiter() == '\0') continue;
    const bool is_next = equals == arguments[i].size();
    if (is_next && i + 1 == arguments.size()) break;
    const std::string list = is_next ? arguments[i + 1] : arguments[i].substr(equals + 1);
    const std::vector<std::string> entries = absl::StrSplit(list, option->get_delimiter());
    if (entries.size() < 2) continue;
    if (std::find(entries.begin(), entries.end(), "") == entries.end()) continue;
    return absl::StrCat(commands[0]->get_name(), ": ", option->get_name(), ": an entry of '", list,
                        "' is empty");
  }
  return "";
}

std::string DescribeExtra(const CLI::App& command, const std::string& argument) {
  const std::string option = argument.substr(0, argument.find('='));
  if (!absl::StartsWith(option, "-")) {
    return absl::StrCat(command.get_name(), ": '", argument, "' is one argument too many");
  }
  std::vector<std::string> names;
  AppendNames(command, &names);
  return absl::StrCat(command.get_name(), ": unknown option ", option, Nearest(option, names));
}

}  // namespace sluice::tools
