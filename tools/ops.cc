// sluice ops: the op reference, printed from the registry.
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "graph/nearest_name.h"
#include "graph/op_def.h"
#include "graph/status_macros.h"
#include "tools/commands.h"
#include "tools/engine/options.h"
#include "tools/engine/vulkan.h"
#include "tools/ops_matrix.h"
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

// What the elements of an operand must be, besides their type; "" if anything.
std::string RangeText(const OperandDef& operand) {
  if (operand.positive) return "; above 0";
  if (!operand.holds_indices()) return "";
  return absl::StrCat(operand.or_equal ? "; at most " : "; below ", operand.below,
                      operand.order == IndexOrder::kDistinct    ? ", no value twice"
                      : operand.order == IndexOrder::kAscending ? ", ascending"
                                                                : "");
}

std::string Reference(const OpDef& op) {
  std::string text = absl::StrCat(Signature(op), "    [", op.family, "]\n", Wrapped(op.doc));
  for (const OperandDef& o : op.operands) {
    absl::StrAppend(&text, "    ", o.name, ": ", o.doc, RangeText(o), "\n");
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

absl::Status Matrix(const std::vector<const OpDef*>& ops) {
  std::vector<std::unique_ptr<Backend>> backends;
  SLUICE_ASSIGN_OR_RETURN(backends.emplace_back(), BackendOptions{.name = "cpu"}.Make());
  absl::StatusOr<std::unique_ptr<Backend>> vulkan = MakeVulkan(/*device=*/-1, /*coopmat=*/true);
  if (vulkan.ok()) {
    backends.push_back(*std::move(vulkan));
  } else {
    std::cerr << "without vulkan: " << vulkan.status().message() << "\n";
  }
  SLUICE_ASSIGN_OR_RETURN(backends.emplace_back(), BackendOptions{.name = "ref"}.Make());
  std::vector<const Backend*> pointers;
  for (const auto& backend : backends) pointers.push_back(backend.get());
  SLUICE_ASSIGN_OR_RETURN(const std::vector<MatrixEntry> entries,
                          KernelMatrix(ops, pointers, StandardOps()));
  std::cout << MatrixText(entries);
  return absl::OkStatus();
}

absl::Status Ops(const std::string& name, bool as_matrix) {
  const OpRegistry& registry = StandardOps();
  if (!name.empty() && registry.Find(name) == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("unknown op '", name, "'; the ops are ",
                                                   absl::StrJoin(NamesOf(registry.ops()), ", "),
                                                   DidYouMean(name, NamesOf(registry.ops()))));
  }
  std::vector<const OpDef*> ops;
  for (const auto& op : registry.ops()) {
    if (name.empty() || op->name == name) ops.push_back(op.get());
  }
  if (as_matrix) return Matrix(ops);
  for (const OpDef* op : ops) std::cout << Reference(*op) << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddOps(CLI::App& app, absl::Status* status) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("ops", "Print the reference of all operations");
  auto as_matrix = std::make_shared<bool>(false);
  command->add_option("OP", *name, "only this one");
  command->add_flag("--matrix", *as_matrix,
                    "instead: the kernels of every backend, and the formats of weights that each "
                    "takes on this machine");
  AddExamples(command, {"ops | less              all of them", "ops rms_norm            one",
                        "ops --matrix matmul     the kernels that it has, by format"});
  command->callback([=] { *status = Ops(*name, *as_matrix); });
}

}  // namespace sluice::tools
