// A model as the routes see it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "models/text/chat_template.h"
#include "models/text/tokenizer.h"
#include "runtime/constraint/token_trie.h"
#include "tools/server/embedder.h"
#include "tools/server/model_thread.h"

namespace sluice::server {

struct ServedModel {
  std::string id;                        // as clients see it
  int64_t created = 0;                   // seconds since 1970
  int64_t trained_context = 0;           // tokens; what is served may be less
  const Tokenizer* tokenizer = nullptr;  // outlives the model
  std::optional<ChatTemplate> chat_template;
  std::shared_ptr<const TokenTrie> trie;  // of a decoder: its vocabulary, for constrained answers
  // One of them: a decoder or an encoder.
  std::unique_ptr<ModelThread> thread;
  std::unique_ptr<Embedder> embedder;

  // Tokens of a prompt and its answer, or of a text.
  int64_t context() const {
    return thread != nullptr ? thread->max_context() : embedder->max_length();
  }
};

}  // namespace sluice::server
