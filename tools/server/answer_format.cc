#include "tools/server/answer_format.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/status_macros.h"
#include "runtime/constraint/json_schema.h"
#include "tools/server/api_error.h"

namespace sluice::server {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr char kFormat[] = "response_format", kHolder[] = "json_schema",
               kOutputs[] = "structured_outputs";

// What one field asks for, and where it stands.
struct Form {
  enum Kind : uint8_t { kObject, kSchema, kChoice } kind = kObject;
  std::vector<std::string> steps;  // from the body to it
  const Json* value = nullptr;     // of kSchema and kChoice

  std::string path() const { return absl::StrJoin(steps, "."); }
};
using Forms = std::vector<Form>;

// The value with the members of its objects in their order. Nothing else of the text is kept: a
// list of members in order takes time that grows with its square.
OrderedJson InOrder(absl::string_view text, const std::vector<std::string>& steps) {
  OrderedJson value = OrderedJson::parse(
      text.begin(), text.end(), [&](int depth, OrderedJson::parse_event_t event, OrderedJson& key) {
        return event != OrderedJson::parse_event_t::key || depth != 1 || key == steps[0];
      });
  for (const std::string& step : steps) {
    OrderedJson inner = std::move(value.at(step));
    value = std::move(inner);
  }
  return value;
}

// {"json_schema": SCHEMA}, without the object around it that OpenAI has: that one has a name.
bool IsSchemaItself(const Json& holder) {
  constexpr const char* kKeywords[] = {"type",  "properties", "items", "$ref",
                                       "anyOf", "enum",       "const"};
  return !holder.contains("name") &&
         std::any_of(std::begin(kKeywords), std::end(kKeywords),
                     [&](const char* word) { return holder.contains(word); });
}

// Where in a response_format a schema stands, in each of the ways in which clients write that.
// `form` keeps no value if there is none.
absl::Status FindSchema(const Fields& format, Form* form) {
  for (const char* name : {"schema", "value"}) {
    if (format.Find(name) == nullptr) continue;
    *form = {Form::kSchema, {kFormat, name}, format.Find(name)};
    return absl::OkStatus();
  }
  const Json* const holder = format.Find(kHolder);
  if (holder == nullptr) return absl::OkStatus();
  if (!holder->is_object()) return format.Error(kHolder, *holder, "an object with a schema");
  const Fields fields(*holder, format.PathOf(absl::StrCat(kHolder, ".")));
  if (const Json* const schema = fields.Find("schema"); schema != nullptr) {
    *form = {Form::kSchema, {kFormat, kHolder, "schema"}, schema};
    return absl::OkStatus();
  }
  if (!IsSchemaItself(*holder)) return fields.Error("schema", Json(), "a JSON schema");
  *form = {Form::kSchema, {kFormat, kHolder}, holder};
  return absl::OkStatus();
}

absl::Status ReadResponseFormat(const Fields& body, Forms* forms) {
  const Json* const format = body.Find(kFormat);
  if (format == nullptr) return absl::OkStatus();
  if (!format->is_object()) return body.Error(kFormat, *format, "an object");
  const Fields fields(*format, absl::StrCat(kFormat, "."));
  std::string type;
  SLUICE_RETURN_IF_ERROR(fields.Read("type", &type));
  Form form = {Form::kObject, {kFormat}};
  SLUICE_RETURN_IF_ERROR(FindSchema(fields, &form));
  const bool has_schema = form.value != nullptr;
  if (type == "text" || (type.empty() && !has_schema)) {
    if (!has_schema) return absl::OkStatus();
    return fields.Error("type", type, "json_schema beside a schema");
  }
  if (type == "json_schema" && !has_schema) {
    return fields.Error(kHolder, Json(), "an object with a schema");
  }
  if (!type.empty() && type != "json_schema" && type != "json_object" && type != "json") {
    return fields.Error("type", type, "text, json_object or json_schema");
  }
  forms->push_back(std::move(form));
  return absl::OkStatus();
}

// vLLM's own: {"json": SCHEMA}, {"json_object": true} or {"choice": [...]}.
absl::Status ReadStructuredOutputs(const Fields& body, Forms* forms) {
  const Json* const outputs = body.Find(kOutputs);
  if (outputs == nullptr) return absl::OkStatus();
  if (!outputs->is_object()) return body.Error(kOutputs, *outputs, "an object");
  const Fields fields(*outputs, absl::StrCat(kOutputs, "."));
  for (const auto& [name, kind] :
       {std::pair("json", Form::kSchema), std::pair("choice", Form::kChoice)}) {
    const Json* const value = fields.Find(name);
    if (value != nullptr) forms->push_back({kind, {kOutputs, name}, value});
  }
  bool is_object = false;
  SLUICE_RETURN_IF_ERROR(fields.Read("json_object", &is_object));
  if (is_object) forms->push_back({Form::kObject, {kOutputs, "json_object"}});
  return absl::OkStatus();
}

absl::Status ReadForms(const Fields& body, Forms* forms) {
  SLUICE_RETURN_IF_ERROR(ReadResponseFormat(body, forms));
  SLUICE_RETURN_IF_ERROR(ReadStructuredOutputs(body, forms));
  // llama.cpp's, ollama's and the older ones of vLLM.
  for (const char* name : {"json_schema", "format", "guided_json"}) {
    const Json* const value = body.Find(name);
    if (value == nullptr || *value == "") continue;
    forms->push_back({*value == "json" ? Form::kObject : Form::kSchema, {name}, value});
  }
  const Json* const choice = body.Find("guided_choice");
  if (choice != nullptr) forms->push_back({Form::kChoice, {"guided_choice"}, choice});
  return absl::OkStatus();
}

absl::Status TooLarge(const Form& form) {
  return FieldError(form.path(), absl::StrCat(form.path(), " is too large, expected at most ",
                                              kMostSchemaBytes, " bytes"));
}

// A schema, or the text of one.
absl::StatusOr<OrderedJson> SchemaOf(const Form& form, absl::string_view text) {
  if (!form.value->is_string()) {
    const std::string dumped = form.value->dump(-1, ' ', false, Json::error_handler_t::replace);
    if (dumped.size() > kMostSchemaBytes) return TooLarge(form);
    return InOrder(text, form.steps);
  }
  const std::string& schema = form.value->get_ref<const std::string&>();
  if (schema.size() > kMostSchemaBytes) return TooLarge(form);
  if (const auto parsed = ParseObject(schema); !parsed.ok()) {
    return FieldError(form.path(), absl::StrCat(form.path(),
                                                " is a text, expected that of a JSON "
                                                "schema: ",
                                                parsed.status().message()));
  }
  return OrderedJson::parse(schema);
}

absl::StatusOr<std::shared_ptr<const Grammar>> OneOfTexts(const Form& form) {
  const std::string path = form.path();
  const bool is_list = form.value->is_array() && !form.value->empty() &&
                       std::all_of(form.value->begin(), form.value->end(), [](const Json& text) {
                         return text.is_string() && !text.get_ref<const std::string&>().empty();
                       });
  if (!is_list) {
    return FieldError(path, absl::StrCat(path, " is ", Shown(*form.value),
                                         ", expected a list of texts, none of them empty"));
  }
  auto texts = form.value->get<std::vector<std::string>>();
  size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  if (bytes > kMostSchemaBytes) return TooLarge(form);
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  GrammarBuilder builder;
  auto grammar = builder.Build(builder.OneOf(texts, builder.Return()));
  if (!grammar.ok()) return FieldError(path, absl::StrCat(path, ": ", grammar.status().message()));
  return grammar;
}

absl::StatusOr<std::shared_ptr<const Grammar>> GrammarOf(const Form& form, absl::string_view text) {
  if (form.kind == Form::kObject) return JsonObjectGrammar();
  if (form.kind == Form::kChoice) return OneOfTexts(form);
  SLUICE_ASSIGN_OR_RETURN(const OrderedJson schema, SchemaOf(form, text));
  auto grammar = CompileJsonSchema(schema);
  if (!grammar.ok()) return FieldError(form.path(), grammar.status().message());
  return grammar;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Grammar>> ReadAnswerFormat(const Json& body,
                                                                absl::string_view text) {
  Forms forms;
  SLUICE_RETURN_IF_ERROR(ReadForms(Fields(body), &forms));
  if (forms.empty()) return nullptr;
  if (forms.size() == 1) return GrammarOf(forms[0], text);
  return FieldError(forms[1].path(),
                    absl::StrCat(forms[0].path(), " and ", forms[1].path(),
                                 " both say what the answer is, expected one of them"));
}

}  // namespace sluice::server
