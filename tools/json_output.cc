#include "tools/json_output.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "runtime/constraint/json_schema.h"
#include "tools/debug/json_syntax.h"
#include "tools/options.h"

namespace sluice::tools {

void JsonOptions::Declare(CLI::App* command) {
  CLI::Option* const any = command->add_flag("--json", any_object, "answer with a JSON object");
  command
      ->add_option("-j,--json-schema", schema,
                   "answer with JSON that fits this schema: a file, or the schema itself, which "
                   "begins with {; its properties come in their order")
      ->excludes(any);
}

absl::StatusOr<std::shared_ptr<const Grammar>> JsonOptions::Compile() const {
  if (any_object) return JsonObjectGrammar();
  if (schema.empty()) return nullptr;
  std::string text = schema;
  if (!absl::StartsWith(absl::StripLeadingAsciiWhitespace(text), "{")) {
    SLUICE_ASSIGN_OR_RETURN(text, ReadFile(schema));
  }
  if (const std::string error = JsonSyntaxError(text); !error.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--json-schema:", error));
  }
  return CompileJsonSchema(nlohmann::ordered_json::parse(text));
}

std::shared_ptr<const TokenTrie> MakeTokenTrie(const Tokenizer& tokenizer) {
  std::vector<std::string> texts;
  std::vector<int32_t> ends;
  for (TokenId id = 0; id < tokenizer.size(); ++id) {
    texts.push_back(tokenizer.Piece(id, /*special=*/false));
    if (tokenizer.IsEndOfGeneration(id)) ends.push_back(id);
  }
  return std::make_shared<const TokenTrie>(std::move(texts), std::move(ends));
}

}  // namespace sluice::tools
