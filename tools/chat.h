// sluice run --chat: questions and answers until the user ends it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "models/model.h"
#include "models/text/chat_template.h"
#include "runtime/generate.h"
#include "runtime/session.h"

namespace sluice::tools {

// On stderr, the end of a line about an answer: how fast its text came.
void PrintDecoding(const GenerateResult& result);

struct ChatOptions {
  bool enabled = false;
  std::string system;         // the first message, unless empty
  std::string template_name;  // "": the model's own
  void Declare(CLI::App* command);
  // Errors say how to go on.
  absl::StatusOr<ChatTemplate> Template(const WeightSource& file) const;
};

// What a chat runs on; outlives it.
struct ChatEngine {
  Session& session;
  const Tokenizer& tokenizer;
  const ChatTemplate& chat_template;
};

// Answers `first`, unless it is empty, and then every line of standard input. Answers go to stdout,
// all else to stderr. `generate` says how to sample and how long an answer may be.
absl::Status Chat(const ChatEngine& engine, const ChatOptions& options, const std::string& first,
                  const GenerateOptions& generate);

}  // namespace sluice::tools
