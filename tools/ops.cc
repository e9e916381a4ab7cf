// sluice ops: the op reference, printed from the registry.
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "graph/nearest_name.h"
#include "graph/op_def.h"
#include "tools/commands.h"
#include "tools/usage.h"

namespace sluice::tools {
namespace {

std::string Signature(const OpDef& op) {
  const auto operand = [](std::string* out, const OperandDef& o) {
    absl::StrAppend(out, o.name, o.optional ? "?" : "", o.variadic ? "..." : "");
  };
  const auto result = [](std::string* out, const ResultDef& r) { absl::StrAppend(out, r.name); };
  return absl::StrCat(op.name, "(", absl::StrJoin(op.operands, ", ", operand), ") -> ",
                      absl::StrJoin(op.results, ", ", result));
}

// Breaks `text` into lines of at most 98 columns, each indented by two.
std::string Wrapped(absl::string_view text) {
  constexpr size_t kColumns = 98;
  std::string out, line = " ";
  for (absl::string_view word : absl::StrSplit(text, ' ')) {
    if (line.size() + 1 + word.size() > kColumns) {
      absl::StrAppend(&out, line, "\n");
      line = " ";
    }
    absl::StrAppend(&line, " ", word);
  }
  return absl::StrCat(out, line, "\n");
}

std::string AttrLine(const AttrDef& attr) {
  std::string line = absl::StrCat("    {", attr.name, "} ", Name(attr.kind));
  if (!attr.choices.empty()) absl::StrAppend(&line, " (", absl::StrJoin(attr.choices, ", "), ")");
  absl::StrAppend(&line, ": ", attr.doc);
  if (attr.default_value) absl::StrAppend(&line, "; default ", ToString(*attr.default_value));
  return line;
}

std::string Reference(const OpDef& op) {
  std::string text = absl::StrCat(Signature(op), "    [", op.family, "]\n", Wrapped(op.doc));
  for (const OperandDef& o : op.operands) {
    absl::StrAppend(&text, "    ", o.name, ": ", o.doc, "\n");
  }
  for (const AttrDef& attr : op.attrs) absl::StrAppend(&text, AttrLine(attr), "\n");
  for (const ResultDef& r : op.results) {
    absl::StrAppend(&text, "    -> ", r.name, ": ", r.doc);
    if (r.aliases >= 0) {
      absl::StrAppend(&text, "; in the storage of ",
                      op.operands[static_cast<size_t>(r.aliases)].name);
    }
    if (r.in_place >= 0) {
      absl::StrAppend(&text, "; may take the place of ",
                      op.operands[static_cast<size_t>(r.in_place)].name);
    }
    text += "\n";
  }
  if (!op.expands_to.empty()) {
    absl::StrAppend(&text, "  stands for\n    ",
                    absl::StrReplaceAll(op.expands_to, {{"\n", "\n    "}}), "\n");
  }
  return text;
}

absl::Status Ops(const std::string& name) {
  const OpRegistry& registry = StandardOps();
  if (!name.empty() && registry.Find(name) == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("unknown op '", name, "'; the ops are ",
                                                   absl::StrJoin(NamesOf(registry.ops()), ", "),
                                                   DidYouMean(name, NamesOf(registry.ops()))));
  }
  for (const auto& op : registry.ops()) {
    if (name.empty() || op->name == name) std::cout << Reference(*op) << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

void AddOps(CLI::App& app, absl::Status* status) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("ops", "Print the reference of all operations");
  command->add_option("OP", *name, "only this one");
  AddExamples(command, {"ops | less       all of them", "ops rms_norm     one"});
  command->callback([name, status] { *status = Ops(*name); });
}

}  // namespace sluice::tools
