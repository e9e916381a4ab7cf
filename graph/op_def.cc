#include "graph/op_def.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/nearest_name.h"
#include "graph/pattern.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

template <typename T>
const T& AttrAs(const OpCall& call, absl::string_view name) {
  const AttrValue* value = call.attrs.Find(name);
  if (value == nullptr) value = &*call.op.FindAttr(name)->default_value;
  return std::get<T>(*value);
}

size_t RequiredOperands(const OpDef& op) {
  return static_cast<size_t>(std::count_if(op.operands.begin(), op.operands.end(),
                                           [](const OperandDef& o) { return !o.optional; }));
}

std::string OperandList(const OpDef& op) {
  return absl::StrJoin(op.operands, ", ", [](std::string* out, const OperandDef& o) {
    absl::StrAppend(out, o.name, o.optional ? "?" : "", o.variadic ? "..." : "");
  });
}

absl::Status CheckOperands(const OpCall& call) {
  const OpDef& op = call.op;
  const bool variadic = !op.operands.empty() && op.operands.back().variadic;
  const size_t given = call.operands.size();
  if (given < RequiredOperands(op) || (given > op.operands.size() && !variadic)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", op.name, "' takes (", OperandList(op), "), got ", given, " operands"));
  }
  for (size_t i = 0; i < std::min(given, op.operands.size()); ++i) {
    if (call.operands[i] == nullptr && !op.operands[i].optional) {
      return absl::InvalidArgumentError(absl::StrCat(
          "'", op.name, "': operand ", i, " (", op.operands[i].name, ") is required but left out"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAttrs(const OpCall& call) {
  const OpDef& op = call.op;
  for (const auto& [name, value] : call.attrs) {
    const AttrDef* def = op.FindAttr(name);
    if (def == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "'", op.name, "' has no attribute '", name, "'; it has ",
          op.attrs.empty()
              ? "none"
              : absl::StrJoin(op.attrs, ", ",
                              [](std::string* out, auto& a) { absl::StrAppend(out, a.name); }),
          DidYouMean(name, NamesOf(op.attrs))));
    }
    if (KindOf(value) != def->kind) {
      return absl::InvalidArgumentError(
          absl::StrCat("attribute '", name, "' of '", op.name, "' is a ", Name(KindOf(value)), " (",
                       ToString(value), "), expected a ", Name(def->kind)));
    }
    const std::vector<absl::string_view> choices(def->choices.begin(), def->choices.end());
    if (choices.empty()) continue;
    const auto& choice = std::get<std::string>(value);
    if (std::find(choices.begin(), choices.end(), choice) != choices.end()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute '", name, "' of '", op.name, "' is ", ToString(value), ", expected one of ",
        absl::StrJoin(choices, ", "), DidYouMean(choice, choices)));
  }
  for (const AttrDef& def : op.attrs) {
    if (!def.default_value.has_value() && call.attrs.Find(def.name) == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", op.name, "' needs the attribute '", def.name, "' (", def.doc, ")"));
    }
  }
  return absl::OkStatus();
}

// Why the expansion does not fit the record; "" if it does.
std::string ExpansionFault(const OpDef& def) {
  const absl::StatusOr<Pattern> pattern = ParsePattern(def.expands_to);
  if (!pattern.ok()) return std::string(pattern.status().message());
  const std::vector<PatternOperand> free = pattern->FreeValues();
  for (const PatternOperand& value : free) {
    auto operand = std::find_if(def.operands.begin(), def.operands.end(),
                                [&](const OperandDef& o) { return o.name == value.name; });
    if (operand == def.operands.end()) {
      return absl::StrCat("its expansion uses %", value.name, ", which is no operand");
    }
    if (operand->optional != value.is_optional) {
      return absl::StrCat("operand ", value.name,
                          " is optional in the record or in the expansion, ",
                          "expected in both or in neither");
    }
  }
  if (free.size() != def.operands.size()) return "its expansion leaves an operand unused";
  for (const ResultDef& result : def.results) {
    if (pattern->FindProducer(result.name).first < 0) {
      return absl::StrCat("its expansion does not define %", result.name);
    }
  }
  return "";
}

// The part of a doc that programs read; none for docs that are words only.
template <typename Def>
absl::Status ReadType(Def* def) {
  if (!HasTypePattern(def->doc)) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(def->type, ParseTypePattern(def->doc));
  return absl::OkStatus();
}

// Whether something can stand for the name: a dimension of an operand, or an attribute that is a
// number or a shape.
bool Binds(const OpDef& def, absl::string_view name) {
  const auto has_dim = [&](const OperandDef& operand) {
    return operand.type.has_value() &&
           std::any_of(
               operand.type->dims.begin(), operand.type->dims.end(),
               [&](const DimExpression& dim) { return dim.is_name() && dim.left.name == name; });
  };
  const AttrDef* attr = def.FindAttr(name);
  return (attr != nullptr && (attr->kind == AttrKind::kInt || attr->kind == AttrKind::kShape)) ||
         std::any_of(def.operands.begin(), def.operands.end(), has_dim);
}

absl::Status ReadIndices(const OpDef& def, OperandDef* operand) {
  if (!operand->holds_indices()) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(operand->limit, ParseDimExpression(operand->below));
  for (const DimExpression::Term* term : {&operand->limit.left, &operand->limit.right}) {
    if (term->name.empty() || Binds(def, term->name)) continue;
    return absl::InvalidArgumentError(absl::StrCat("nothing binds ", term->name));
  }
  return absl::OkStatus();
}

// Reads what the docs say of types and ranges.
absl::Status ReadDocs(OpDef* def) {
  const auto fail = [&](absl::string_view name, const absl::Status& status) {
    return absl::InvalidArgumentError(
        absl::StrCat("op '", def->name, "': ", name, ": ", status.message()));
  };
  for (OperandDef& operand : def->operands) {
    if (const auto status = ReadType(&operand); !status.ok()) return fail(operand.name, status);
  }
  for (ResultDef& result : def->results) {
    if (const auto status = ReadType(&result); !status.ok()) return fail(result.name, status);
  }
  for (OperandDef& operand : def->operands) {
    const absl::Status status = ReadIndices(*def, &operand);
    if (!status.ok()) return fail(operand.name, status);
  }
  return absl::OkStatus();
}

absl::Status CheckRecord(const OpDef& def) {
  const auto fail = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("op '", def.name, "': ", what));
  };
  if (def.name.empty() || def.family.empty() || def.doc.empty()) {
    return fail("name, family and doc must not be empty");
  }
  if (def.results.empty()) return fail("an op has at least one result");
  if (def.infer == nullptr) return fail("no shape inference");
  if (!def.expands_to.empty()) {
    if (const std::string fault = ExpansionFault(def); !fault.empty()) return fail(fault);
  }
  if ((def.eval == nullptr) == def.expands_to.empty()) {
    return fail("exactly one of eval and expands_to must be given");
  }
  for (size_t i = 0; i < def.operands.size(); ++i) {
    if (def.operands[i].variadic && i + 1 != def.operands.size()) {
      return fail("only the last operand may be variadic");
    }
  }
  if (def.is_commutative && def.operands.size() != 2) {
    return fail("a commutative op has two operands");
  }
  for (const ResultDef& result : def.results) {
    const int operands = static_cast<int>(def.operands.size());
    if (result.aliases >= operands || result.in_place >= operands) {
      return fail("a result aliases an operand that is not there");
    }
  }
  for (const AttrDef& attr : def.attrs) {
    if (attr.default_value.has_value() && KindOf(*attr.default_value) != attr.kind) {
      return fail(absl::StrCat("the default of '", attr.name, "' has the wrong kind"));
    }
    if (!attr.choices.empty() && attr.kind != AttrKind::kString) {
      return fail(absl::StrCat("'", attr.name, "' has choices but is no string"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

int64_t OpCall::Int(absl::string_view name) const { return AttrAs<int64_t>(*this, name); }
double OpCall::Float(absl::string_view name) const { return AttrAs<double>(*this, name); }
bool OpCall::Bool(absl::string_view name) const { return AttrAs<bool>(*this, name); }
const std::string& OpCall::String(absl::string_view name) const {
  return AttrAs<std::string>(*this, name);
}
const Shape& OpCall::ShapeOf(absl::string_view name) const { return AttrAs<Shape>(*this, name); }

const AttrDef* OpDef::FindAttr(absl::string_view attr_name) const {
  for (const AttrDef& attr : attrs) {
    if (attr.name == attr_name) return &attr;
  }
  return nullptr;
}

bool OpDef::UpdatesState() const {
  return std::any_of(results.begin(), results.end(), [](auto& r) { return r.aliases >= 0; });
}

absl::Status CheckSchema(const OpCall& call) {
  if (absl::Status status = CheckOperands(call); !status.ok()) return status;
  return CheckAttrs(call);
}

absl::StatusOr<std::vector<TensorType>> InferResults(const OpCall& call) {
  if (absl::Status status = CheckSchema(call); !status.ok()) return status;
  return call.op.infer(call);
}

absl::Status OpRegistry::Register(OpDef def) {
  SLUICE_RETURN_IF_ERROR(CheckRecord(def));
  SLUICE_RETURN_IF_ERROR(ReadDocs(&def));
  auto owned = std::make_unique<OpDef>(std::move(def));
  if (!by_name_.emplace(owned->name, owned.get()).second) {
    return absl::AlreadyExistsError(absl::StrCat("op '", owned->name, "' is registered twice"));
  }
  ops_.push_back(std::move(owned));
  return absl::OkStatus();
}

const OpDef* OpRegistry::Find(absl::string_view name) const {
  auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

}  // namespace sluice
