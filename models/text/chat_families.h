// The formats of conversations that models are trained on, as a table.
//
// The texts are those of the models' own templates as llama.cpp renders them without Jinja
// (llama_chat_apply_template), whose names they have, too.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// What stands around a message of one role.
struct ChatRoleFormat {
  absl::string_view prefix, suffix;
  bool trims = false;  // white space around the message goes
};

struct ChatFamily {
  absl::string_view name;
  absl::string_view start;  // in front of everything
  // Some formats group messages into turns, which end with the assistant's: what opens the first
  // and what opens the others.
  absl::string_view first_turn, next_turn;
  ChatRoleFormat system, user, assistant;
  // No messages of the system: their text stands in front of the next message of the user.
  bool system_within_user = false;
  absl::string_view invitation;  // after the last message: begins the assistant's next one
};

// A template whose text has all of these belongs to the family. The first rule that fits counts.
struct ChatRule {
  absl::string_view family;
  absl::string_view marks[3];  // those that are "" do not count
};

absl::Span<const ChatFamily> ChatFamilies();
absl::Span<const ChatRule> ChatRules();

}  // namespace sluice
