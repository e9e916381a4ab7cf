// JSON schemas as grammars, for the part of JSON Schema that a grammar can hold to.
//
// Taken are `type`, `enum`, `const`, `anyOf`, `$ref` (a JSON pointer) into the schema itself,
// `properties`, `required`, `additionalProperties`, `items`, `minItems`, `maxItems`, `minLength`,
// `maxLength`; what describes only (`title`, ...) is passed over. 3.0 is the integer 3 everywhere.
// Any other keyword is refused: a text never looks as if it had been checked for what it was not.
//
// Every text of the grammar fits the schema. The opposite does not hold: members come in the order
// of `properties`, those that are not declared at the end and only if additionalProperties is there
// (or no properties are), and see json_text.h.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"
#include "runtime/constraint/grammar.h"

namespace sluice {

// InvalidArgument names the place in the schema (#/properties/name) and what is wrong there. A
// schema may come from anyone. Of an nlohmann::json, which sorts them, the order of the properties
// is the alphabet's.
absl::StatusOr<std::shared_ptr<const Grammar>> CompileJsonSchema(
    const nlohmann::ordered_json& schema);

// Any JSON object.
std::shared_ptr<const Grammar> JsonObjectGrammar();

}  // namespace sluice
