#include "graph/load_common.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/nearest_name.h"

namespace sluice {

absl::StatusOr<DType> FindDType(absl::string_view name) {
  if (const std::optional<DType> dtype = DTypeFromName(name)) return *dtype;
  return absl::NotFoundError(absl::StrCat(
      "unknown dtype '", name, "', expected one of ",
      absl::StrJoin(
          AllDTypes(), ", ",
          [](std::string* out, const DTypeInfo& info) { absl::StrAppend(out, info.name); }),
      DidYouMean(name, NamesOf(AllDTypes()))));
}

absl::Status AddAttribute(absl::string_view name, AttrValue value, Attributes* attrs) {
  if (!IsIdentifier(name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", name, "' is no name for an attribute: expected letters, digits, _, no digit first"));
  }
  if (attrs->Find(name) != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("attribute '", name, "' is given twice"));
  }
  if (attrs->size() == kMaxAttributes) {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute '", name, "' is one too many, expected at most ", kMaxAttributes));
  }
  attrs->Set(name, std::move(value));
  return absl::OkStatus();
}

void TakeWholeNumbersAsFloats(const OpDef& op, Attributes* attrs) {
  constexpr int64_t kLargestExact = int64_t{1} << 53;
  for (const AttrDef& attr : op.attrs) {
    const AttrValue* value = attrs->Find(attr.name);
    if (attr.kind != AttrKind::kFloat || value == nullptr) continue;
    const auto* number = std::get_if<int64_t>(value);
    if (number == nullptr || *number > kLargestExact || *number < -kLargestExact) continue;
    attrs->Set(attr.name, static_cast<double>(*number));
  }
}

absl::Status CheckDeclaredTypes(const Node& node, absl::Span<const TensorType> declared) {
  if (declared.size() != node.results().size()) {
    return absl::InvalidArgumentError(absl::StrCat(node.result()->ref(), ": ", declared.size(),
                                                   " types are declared, but '", node.op().name,
                                                   "' has ", node.results().size(), " results"));
  }
  for (size_t i = 0; i < declared.size(); ++i) {
    const Value& result = *node.result(i);
    if (declared[i] == result.type()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(result.ref(), ": the declared type is ", declared[i].ToString(), ", but '",
                     node.op().name, "' gives ", result.type().ToString()));
  }
  return absl::OkStatus();
}

}  // namespace sluice
