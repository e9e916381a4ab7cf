// What an answer must look like: response_format, and the other fields that name a schema or texts.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/constraint/grammar.h"
#include "tools/server/json_fields.h"

namespace sluice::server {

// Bytes of a schema, or of the texts to choose from, at most.
inline constexpr size_t kMostSchemaBytes = 64 << 10;

// The grammar of the answer; nullptr: any text will do. `text` is what `body` was parsed from:
// answers have a schema's properties in its order, which `body` does not keep. Errors:
// InvalidArgument with the field, also for a schema with keywords that answers are not held to, and
// for more than one field that says what the answer is.
absl::StatusOr<std::shared_ptr<const Grammar>> ReadAnswerFormat(const Json& body,
                                                                absl::string_view text);

}  // namespace sluice::server
