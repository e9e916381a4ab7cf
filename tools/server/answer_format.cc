#include "tools/server/answer_format.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "runtime/constraint/json_schema.h"
#include "tools/server/api_error.h"

namespace sluice::server {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr char kFormat[] = "response_format";
constexpr char kHolder[] = "json_schema";

// response_format.json_schema.schema with its members in their order. Nothing else of the text is
// kept: a list of members in order takes time that grows with its square.
OrderedJson SchemaInOrder(absl::string_view text) {
  const OrderedJson body = OrderedJson::parse(
      text.begin(), text.end(), [](int depth, OrderedJson::parse_event_t event, OrderedJson& key) {
        return event != OrderedJson::parse_event_t::key || depth != 1 || key == kFormat;
      });
  return body.at(kFormat).at(kHolder).at("schema");
}

absl::StatusOr<std::shared_ptr<const Grammar>> ReadSchema(const Fields& format,
                                                          absl::string_view text) {
  const Json* const holder = format.Find(kHolder);
  if (holder == nullptr || !holder->is_object()) {
    return format.Error(kHolder, holder == nullptr ? Json() : *holder, "an object with a schema");
  }
  const Fields fields(*holder, format.PathOf(absl::StrCat(kHolder, ".")));
  const Json* const schema = fields.Find("schema");
  if (schema == nullptr) return fields.Error("schema", Json(), "a JSON schema");
  auto grammar = CompileJsonSchema(SchemaInOrder(text));
  if (!grammar.ok()) return FieldError(fields.PathOf("schema"), grammar.status().message());
  return grammar;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Grammar>> ReadAnswerFormat(const Json& body,
                                                                absl::string_view text) {
  const Fields fields(body);
  const Json* const format = fields.Find(kFormat);
  if (format == nullptr) return nullptr;
  if (!format->is_object()) return fields.Error(kFormat, *format, "an object");
  std::string type = "text";
  const Fields inner(*format, absl::StrCat(kFormat, "."));
  SLUICE_RETURN_IF_ERROR(inner.Read("type", &type));
  if (type == "text") return nullptr;
  if (type == "json_object") return JsonObjectGrammar();
  if (format->dump(-1, ' ', false, Json::error_handler_t::replace).size() > kMostSchemaBytes) {
    return FieldError(kFormat, absl::StrCat(kFormat, " is too large, expected at most ",
                                            kMostSchemaBytes, " bytes"));
  }
  if (type == "json_schema") return ReadSchema(inner, text);
  return inner.Error("type", type, "text, json_object or json_schema");
}

}  // namespace sluice::server
