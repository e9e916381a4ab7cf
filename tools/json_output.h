// Answers that are JSON: the options, and what is made of them and of a model's vocabulary.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "models/text/tokenizer.h"
#include "runtime/constraint/grammar.h"
#include "runtime/constraint/token_trie.h"

namespace sluice::tools {

struct JsonOptions {
  bool any_object = false;
  std::string schema;  // a file, or the schema itself; "": none
  void Declare(CLI::App* command);
  // nullptr: answers are any text.
  absl::StatusOr<std::shared_ptr<const Grammar>> Compile() const;
};

// Once for each model: it takes some tenths of a second for a large vocabulary.
std::shared_ptr<const TokenTrie> MakeTokenTrie(const Tokenizer& tokenizer);

}  // namespace sluice::tools
