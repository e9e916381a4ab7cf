// What the loaders of the text and the protobuf form have in common.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "graph/attributes.h"
#include "graph/dtype.h"
#include "graph/graph.h"
#include "graph/op_def.h"
#include "graph/type.h"

namespace sluice {

// NotFound, with the known names, for a name that no dtype has.
absl::StatusOr<DType> FindDType(absl::string_view name);

// Adds an attribute that was read. InvalidArgument for a second one of that name, a name that is no
// identifier, or one too many.
absl::Status AddAttribute(absl::string_view name, AttrValue value, Attributes* attrs);

// Where the op wants a float, a whole number is one, too: 10000 for 10000.0. One that no double
// equals stays as it is, for the check of attributes to refuse. Graph::Add does so.
void TakeWholeNumbersAsFloats(const OpDef& op, Attributes* attrs);

// InvalidArgument unless `declared` are the types that were inferred for the node's results.
absl::Status CheckDeclaredTypes(const Node& node, absl::Span<const TensorType> declared);

}  // namespace sluice
