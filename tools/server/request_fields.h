// Every field that clients of the API are known to send, and what becomes of it: the one table of
// them. Fields of OpenAI's API, and those that llama.cpp, vLLM and ollama add to it.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tools/server/json_fields.h"

namespace sluice::server {

enum class FieldKind : uint8_t {
  kActs,
  kHarmless,     // the answer is the same without it
  kUnsupported,  // it would change the answer: refused by name, unless its value changes nothing
};

// The objects that fields are in. Bits, because most fields are in several.
using FieldObjects = uint32_t;
inline constexpr FieldObjects kChatBody = 1 << 0, kCompletionBody = 1 << 1, kEmbeddingBody = 1 << 2,
                              kTokenizeBody = 1 << 3, kDetokenizeBody = 1 << 4,
                              kStreamOptions = 1 << 5, kResponseFormat = 1 << 6,
                              kStructuredOutputs = 1 << 7, kMessage = 1 << 8, kContentPart = 1 << 9;

struct RequestField {
  const char* name;
  FieldObjects objects;  // that have it
  FieldKind kind;
  // Of what is unsupported: values that change nothing, as JSON, with commas between them. null and
  // what is empty change nothing, either.
  const char* neutral = "";
  const char* instead = "";  // what to do instead, "" if nothing can be done
  FieldObjects members = 0;  // the object that its value is, or that the values of its list are
};
absl::Span<const RequestField> RequestFields();

// As the fields of such an object are called in messages and docs/serve.md: "messages[].".
const char* PathOf(FieldObjects object);

struct UnknownFields {
  std::string first;  // "" if there are none
  // "unknown fields: tempperature (did you mean 'temperature'?), messages[].nmae", short and
  // printable, whatever the names are.
  std::string text;
};
// What nothing is known of in a body and the objects within it. Errors: InvalidArgument for a field
// that is not supported, with its name, its value and what to do.
absl::StatusOr<UnknownFields> CheckFields(const Json& body, FieldObjects object);

}  // namespace sluice::server
