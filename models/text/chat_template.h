// How a conversation becomes the text that a model was trained on.
//
// Model files bring their template as a program in Jinja (tokenizer.chat_template). It is not run:
// its text tells which of the well-known families it belongs to (see chat_families.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/files/weight_source.h"
#include "models/text/chat_families.h"
#include "models/text/tokenizer.h"

namespace sluice {

enum class ChatRole : uint8_t { kSystem, kUser, kAssistant };

struct ChatMessage {
  ChatRole role;
  std::string content;
};

class ChatTemplate {
 public:
  // By the text of a template. Unimplemented, with the names of all families, if it belongs to
  // none; InvalidArgument if it is larger than any template has reason to be.
  static absl::StatusOr<ChatTemplate> Recognise(absl::string_view text);
  // That of a model file. NotFound if it has none: it is no chat model.
  static absl::StatusOr<ChatTemplate> Load(const WeightSource& file);
  // By the name of a family; NotFound, with the names of all.
  static absl::StatusOr<ChatTemplate> Named(absl::string_view name);

  absl::string_view name() const { return family_->name; }

  // The text, in pieces: what a message says is not mark-up, so that it can hold none (see
  // Tokenizer::EncodePieces). `invites`: the text ends where the assistant's next message begins.
  std::vector<TextPiece> Render(absl::Span<const ChatMessage> messages, bool invites) const;

 private:
  explicit ChatTemplate(const ChatFamily* family) : family_(family) {}

  const ChatFamily* family_;
};

// "chatml, llama2, ...", in the order of the table.
std::string ChatFamilyNames();

}  // namespace sluice
