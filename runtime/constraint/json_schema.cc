#include "runtime/constraint/json_schema.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "graph/status_macros.h"
#include "runtime/constraint/json_text.h"
#include "runtime/constraint/json_values.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using Keywords = absl::Span<const absl::string_view>;

constexpr int kMaxNesting = 128;

constexpr absl::string_view kAnnotations[] = {
    "$schema",     "$id",     "$comment",   "$defs",    "definitions", "title",
    "description", "default", "deprecated", "examples", "readOnly",    "writeOnly"};
// A schema has one of these forms.
constexpr absl::string_view kReference[] = {"$ref"};
constexpr absl::string_view kChoice[] = {"anyOf"};
constexpr absl::string_view kListed[] = {"enum", "const", "type"};
constexpr absl::string_view kTyped[] = {
    "type",     "properties", "required", "additionalProperties", "items", "minItems",
    "maxItems", "minLength",  "maxLength"};
constexpr absl::string_view kObjectKeywords[] = {"properties", "required", "additionalProperties"};
constexpr absl::string_view kArrayKeywords[] = {"items", "minItems", "maxItems"};
constexpr absl::string_view kStringKeywords[] = {"minLength", "maxLength"};

bool Has(Keywords keywords, absl::string_view word) {
  return std::find(keywords.begin(), keywords.end(), word) != keywords.end();
}

bool HasAny(const Json& schema, Keywords keywords) {
  return std::any_of(keywords.begin(), keywords.end(),
                     [&](absl::string_view word) { return schema.contains(std::string(word)); });
}

template <typename... Parts>
absl::Status Wrong(absl::string_view path, const Parts&... what) {
  std::string message = absl::StrCat("JSON schema, ", path, ": ", what...);
  // Names are anyone's: they do not move a terminal's cursor.
  std::replace_if(message.begin(), message.end(), absl::ascii_iscntrl, '?');
  return absl::InvalidArgumentError(message);
}

// Characters that are not UTF-8, which no parser lets through, become U+FFFD.
std::string TextOf(const Json& value) {
  if (value.is_number_float()) {  // 3.0 is the integer 3, and is written as all can read it
    const std::optional<int64_t> whole = WholeNumber(value.get<double>());
    if (whole.has_value()) return absl::StrCat(*whole);
  }
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Objects are the same in whatever order their members are.
bool IsSame(const Json& a, const Json& b) { return nlohmann::json(a) == nlohmann::json(b); }

bool IsInteger(const Json& value) {
  return value.is_number_integer() ||
         (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()));
}

bool IsOfType(const Json& value, absl::string_view type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return IsInteger(value);
  if (type == "number") return value.is_number();
  if (type == "string") return value.is_string();
  if (type == "array") return value.is_array();
  return type == "object" && value.is_object();
}

// Asked first: what follows goes through a schema, and the values that it lists, by recursion.
bool IsDeeperThan(int levels, const Json& json) {
  return levels == 0 || std::any_of(json.begin(), json.end(), [levels](const Json& part) {
           return part.is_structured() && IsDeeperThan(levels - 1, part);
         });
}

bool HasReference(const Json& json) {
  if (json.is_object() && json.contains("$ref")) return true;
  return json.is_structured() && std::any_of(json.begin(), json.end(), HasReference);
}

class SchemaCompiler {
 public:
  explicit SchemaCompiler(const Json& schema) : root_(schema), text_(&builder_) {}

  absl::StatusOr<std::shared_ptr<const Grammar>> Compile() {
    if (IsDeeperThan(kMaxNesting, root_)) {
      return Wrong("#", "nested too deeply, expected at most ", kMaxNesting, " levels");
    }
    SLUICE_ASSIGN_OR_RETURN(const GrammarNodeId start, Target("#", "#"));
    // Schemas that a $ref names join the queue while it is worked off, so that no chain of them
    // takes this program's stack.
    while (!queue_.empty()) {
      const Named named = std::move(queue_.back());
      queue_.pop_back();
      SLUICE_ASSIGN_OR_RETURN(const GrammarNodeId body, Value(*named.schema, named.path));
      builder_.Define(named.node, body);
    }
    auto grammar = builder_.Build(start);
    if (!grammar.ok()) return Wrong("#", grammar.status().message());
    return grammar;
  }

 private:
  struct Named {
    const Json* schema;
    std::string path;
    GrammarNodeId node;
  };

  // Each gives the body that matches the values of a schema.
  absl::StatusOr<GrammarNodeId> Value(const Json& schema, const std::string& path);
  absl::StatusOr<GrammarNodeId> Reference(const Json& schema, const std::string& path);
  absl::StatusOr<GrammarNodeId> Choice(const Json& schema, const std::string& path);
  absl::StatusOr<GrammarNodeId> Listed(const Json& schema, const std::string& path);
  absl::StatusOr<GrammarNodeId> Typed(const Json& schema, const std::string& path);
  absl::StatusOr<GrammarNodeId> OfType(absl::string_view type, const Json& schema,
                                       const std::string& path);
  absl::StatusOr<GrammarNodeId> Object(const Json& schema, const std::string& path);
  absl::StatusOr<GrammarNodeId> Array(const Json& schema, const std::string& path);
  absl::StatusOr<GrammarNodeId> String(const Json& schema, const std::string& path);

  absl::StatusOr<GrammarNodeId> Target(absl::string_view target, const std::string& path);
  absl::StatusOr<GrammarNodeId> OtherName(const std::set<std::string>& names,
                                          const std::string& path);

  const Json& root_;
  GrammarBuilder builder_;
  JsonText text_;
  absl::flat_hash_map<std::string, GrammarNodeId> named_;
  std::vector<Named> queue_;
};

absl::Status CheckKeywords(const Json& schema, Keywords taken, const std::string& path) {
  for (const auto& [word, unused] : schema.items()) {
    if (Has(taken, word) || Has(kAnnotations, word)) continue;
    for (const Keywords form :
         {Keywords(kReference), Keywords(kChoice), Keywords(kListed), Keywords(kTyped)}) {
      if (Has(form, word)) {
        return Wrong(path, "'", word, "' is not supported in one schema with '", taken[0], "'");
      }
    }
    return Wrong(path, "the keyword '", word,
                 "' is not supported, and a text would not be checked for it");
  }
  return absl::OkStatus();
}

// A count that is there, or `otherwise`.
absl::StatusOr<uint32_t> Count(const Json& schema, const char* word, uint32_t otherwise,
                               const std::string& path) {
  const auto it = schema.find(word);
  if (it == schema.end()) return otherwise;
  constexpr int64_t kMost = Grammar::kUnlimited - 1;
  if (!IsInteger(*it) || *it < 0 || *it > kMost) {
    return Wrong(path, "'", word, "' is ", TextOf(*it), ", expected a whole number from 0 to ",
                 kMost);
  }
  return it->get<uint32_t>();
}

// `word`'s list of strings, empty if it is not there.
absl::StatusOr<std::vector<std::string>> Strings(const Json& schema, const char* word,
                                                 const std::string& path) {
  std::vector<std::string> strings;
  const auto it = schema.find(word);
  if (it == schema.end()) return strings;
  const auto is_string = [](const Json& item) { return item.is_string(); };
  if (!it->is_array() || !std::all_of(it->begin(), it->end(), is_string)) {
    return Wrong(path, "'", word, "' is no list of strings");
  }
  return it->get<std::vector<std::string>>();
}

// The types that a schema names, or else whose keywords it has. None: all.
absl::StatusOr<std::vector<std::string>> TypesOf(const Json& schema, const std::string& path) {
  std::vector<std::string> types;
  if (const auto it = schema.find("type"); it == schema.end()) {
    if (HasAny(schema, kObjectKeywords)) types.push_back("object");
    if (HasAny(schema, kArrayKeywords)) types.push_back("array");
    if (HasAny(schema, kStringKeywords)) types.push_back("string");
    return types;
  } else if (it->is_string()) {
    types.push_back(it->get<std::string>());
  } else {
    SLUICE_ASSIGN_OR_RETURN(types, Strings(schema, "type", path));
    if (types.empty()) return Wrong(path, "'type' is an empty list");
  }
  constexpr absl::string_view kTypes[] = {"null",   "boolean", "integer", "number",
                                          "string", "array",   "object"};
  for (const std::string& type : types) {
    if (!Has(kTypes, type)) {
      return Wrong(path, "unknown type '", type, "', expected ", absl::StrJoin(kTypes, ", "));
    }
  }
  return types;
}

absl::StatusOr<GrammarNodeId> SchemaCompiler::Value(const Json& schema, const std::string& path) {
  if (schema.is_boolean()) return schema.get<bool>() ? text_.value() : builder_.Never();
  if (!schema.is_object()) {
    return Wrong(path, "a schema is an object, true or false, not ", schema.type_name());
  }
  if (path != "#" && schema.contains("$id") && HasReference(schema)) {
    return Wrong(path,
                 "'$ref' beside or below '$id', which makes a document of its own, is not "
                 "supported");
  }
  if (schema.contains("$ref")) return Reference(schema, path);
  if (schema.contains("anyOf")) return Choice(schema, path);
  if (schema.contains("enum") || schema.contains("const")) return Listed(schema, path);
  return Typed(schema, path);
}

absl::StatusOr<GrammarNodeId> SchemaCompiler::Reference(const Json& schema,
                                                        const std::string& path) {
  SLUICE_RETURN_IF_ERROR(CheckKeywords(schema, kReference, path));
  const Json& target = schema["$ref"];
  if (!target.is_string()) return Wrong(path, "'$ref' is no string");
  return Target(target.get<std::string>(), path);
}

// The node for the schema at `target`, which is compiled later unless it is known.
absl::StatusOr<GrammarNodeId> SchemaCompiler::Target(absl::string_view target,
                                                     const std::string& path) {
  absl::string_view fragment = target;
  // The schema's own name in front of the fragment, or alone.
  const auto own = root_.is_object() ? root_.find("$id") : root_.end();
  if (own != root_.end() && own->is_string() && !target.empty() && target[0] != '#' &&
      absl::ConsumePrefix(&fragment, own->get<std::string>()) && fragment.empty()) {
    fragment = "#";
  }
  const absl::StatusOr<PointedTo> place = FollowPointer(root_, fragment);
  if (!place.ok()) return Wrong(path, "'$ref' to '", target, "': ", place.status().message());
  if (const auto known = named_.find(place->path); known != named_.end()) return known->second;
  const GrammarNodeId node = builder_.Reserve();
  named_.emplace(place->path, node);
  queue_.push_back({place->value, place->path, node});
  return node;
}

absl::StatusOr<GrammarNodeId> SchemaCompiler::Choice(const Json& schema, const std::string& path) {
  SLUICE_RETURN_IF_ERROR(CheckKeywords(schema, kChoice, path));
  const Json& choices = schema["anyOf"];
  if (!choices.is_array()) return Wrong(path, "'anyOf' is no list");
  GrammarNodeId ways = builder_.Never();
  for (size_t i = 0; i < choices.size(); ++i) {
    SLUICE_ASSIGN_OR_RETURN(
        const GrammarNodeId way,
        Value(choices[i], PointerTo(PointerTo(path, "anyOf"), absl::StrCat(i))));
    ways = builder_.Either(way, ways);
  }
  return ways;
}

absl::StatusOr<GrammarNodeId> SchemaCompiler::Listed(const Json& schema, const std::string& path) {
  SLUICE_RETURN_IF_ERROR(CheckKeywords(schema, kListed, path));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<std::string> types, TypesOf(schema, path));
  const auto fits = [&](const Json& value) {
    return types.empty() || std::any_of(types.begin(), types.end(), [&](const std::string& type) {
             return IsOfType(value, type);
           });
  };
  const auto listed = schema.find("enum"), fixed = schema.find("const");
  std::vector<std::string> texts;
  const auto add = [&](const Json& value) {
    if (fits(value) && (fixed == schema.end() || IsSame(value, *fixed)))
      texts.push_back(TextOf(value));
  };
  if (listed == schema.end()) {
    add(*fixed);
  } else if (listed->is_array()) {
    std::for_each(listed->begin(), listed->end(), add);
  } else {
    return Wrong(path, "'enum' is no list");
  }
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  return builder_.OneOf(texts, builder_.Return());
}

absl::StatusOr<GrammarNodeId> SchemaCompiler::Typed(const Json& schema, const std::string& path) {
  SLUICE_RETURN_IF_ERROR(CheckKeywords(schema, kTyped, path));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<std::string> types, TypesOf(schema, path));
  if (types.empty()) return text_.value();
  GrammarNodeId ways = builder_.Never();
  for (const std::string& type : types) {
    SLUICE_ASSIGN_OR_RETURN(const GrammarNodeId way, OfType(type, schema, path));
    ways = builder_.Either(way, ways);
  }
  return ways;
}

absl::StatusOr<GrammarNodeId> SchemaCompiler::OfType(absl::string_view type, const Json& schema,
                                                     const std::string& path) {
  if (type == "object") return Object(schema, path);
  if (type == "array") return Array(schema, path);
  if (type == "string") return String(schema, path);
  if (type == "number") return text_.number();
  if (type == "integer") return text_.integer();
  if (type == "null") return builder_.Literal("null", builder_.Return());
  return builder_.OneOf({"false", "true"}, builder_.Return());
}

absl::StatusOr<GrammarNodeId> SchemaCompiler::String(const Json& schema, const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const uint32_t min, Count(schema, "minLength", 0, path));
  SLUICE_ASSIGN_OR_RETURN(const uint32_t max,
                          Count(schema, "maxLength", Grammar::kUnlimited, path));
  return text_.String(min, max);
}

absl::StatusOr<GrammarNodeId> SchemaCompiler::Array(const Json& schema, const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const uint32_t min, Count(schema, "minItems", 0, path));
  SLUICE_ASSIGN_OR_RETURN(const uint32_t max, Count(schema, "maxItems", Grammar::kUnlimited, path));
  GrammarNodeId item = text_.value();
  if (const auto it = schema.find("items"); it != schema.end()) {
    SLUICE_ASSIGN_OR_RETURN(item, Value(*it, PointerTo(path, "items")));
  }
  return text_.Array(item, min, max);
}

absl::StatusOr<GrammarNodeId> SchemaCompiler::Object(const Json& schema, const std::string& path) {
  const Json none = Json::object();
  const auto declared = schema.find("properties");
  const Json& properties = declared == schema.end() ? none : *declared;
  if (!properties.is_object()) return Wrong(path, "'properties' is no object");
  SLUICE_ASSIGN_OR_RETURN(const std::vector<std::string> required,
                          Strings(schema, "required", path));
  std::set<std::string> missing(required.begin(), required.end());
  std::set<std::string> names;
  std::vector<JsonText::Member> members;
  for (const auto& [name, value] : properties.items()) {
    SLUICE_ASSIGN_OR_RETURN(const GrammarNodeId body,
                            Value(value, PointerTo(PointerTo(path, "properties"), name)));
    members.push_back({TextOf(name), body, missing.erase(name) > 0});
    names.insert(name);
  }
  GrammarNodeId other = text_.value();
  const auto additional = schema.find("additionalProperties");
  if (additional != schema.end()) {
    SLUICE_ASSIGN_OR_RETURN(other, Value(*additional, PointerTo(path, "additionalProperties")));
  }
  for (const std::string& name : missing) {
    if (other == builder_.Never()) {
      return Wrong(path, "'", name, "' is required, and additionalProperties is false");
    }
    members.push_back({TextOf(name), other, true});
    names.insert(name);
  }
  const bool is_open = additional != schema.end() || declared == schema.end();
  if (!is_open || other == builder_.Never()) return text_.Object(members, std::nullopt);
  SLUICE_ASSIGN_OR_RETURN(const GrammarNodeId other_name, OtherName(names, path));
  return text_.Object(members, JsonText::Others{other_name, other});
}

absl::StatusOr<GrammarNodeId> SchemaCompiler::OtherName(const std::set<std::string>& names,
                                                        const std::string& path) {
  if (names.empty()) return text_.string();
  for (const std::string& name : names) {
    if (name.size() <= JsonText::kMaxName) continue;
    return Wrong(path, "a property's name has ", name.size(), " bytes, expected at most ",
                 JsonText::kMaxName, " beside additional properties");
  }
  return text_.OtherName({names.begin(), names.end()});
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Grammar>> CompileJsonSchema(const Json& schema) {
  return SchemaCompiler(schema).Compile();
}

std::shared_ptr<const Grammar> JsonObjectGrammar() {
  return *CompileJsonSchema({{"type", "object"}});  // which always compiles
}

}  // namespace sluice
