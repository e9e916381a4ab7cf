#include "models/text/chat_template.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/nearest_name.h"
#include "graph/status_macros.h"
#include "models/files/tokenizer_keys.h"

namespace sluice {
namespace {

constexpr absl::string_view kTemplateKey = "tokenizer.chat_template";

// Real templates stay below 32 KiB.
constexpr size_t kMaxTemplateBytes = size_t{1} << 20;

// Renders one conversation, message by message.
class Renderer {
 public:
  explicit Renderer(const ChatFamily& family) : family_(family) { AddMarkup(family.start); }

  void Add(const ChatMessage& message) {
    if (message.role == ChatRole::kSystem && family_.system_within_user) {
      held_back_.push_back(&message);
      return;
    }
    if (!within_turn_) AddMarkup(has_turns_ ? family_.next_turn : family_.first_turn);
    within_turn_ = message.role != ChatRole::kAssistant;
    has_turns_ = true;
    const ChatRoleFormat& format = FormatOf(message.role);
    AddMarkup(format.prefix);
    if (message.role == ChatRole::kUser) {
      for (const ChatMessage* system : held_back_) {
        AddContent(*system, family_.system);
        AddMarkup(family_.system.suffix);
      }
      held_back_.clear();
    }
    AddContent(message, format);
    AddMarkup(format.suffix);
  }

  void Invite() { AddMarkup(family_.invitation); }

  std::vector<TextPiece> Take() { return std::move(pieces_); }

 private:
  const ChatRoleFormat& FormatOf(ChatRole role) const {
    switch (role) {
      case ChatRole::kSystem:
        return family_.system;
      case ChatRole::kUser:
        return family_.user;
      case ChatRole::kAssistant:
        break;
    }
    return family_.assistant;
  }

  void AddMarkup(absl::string_view text) {
    if (!text.empty()) pieces_.push_back({std::string(text), /*is_markup=*/true});
  }

  void AddContent(const ChatMessage& message, const ChatRoleFormat& format) {
    const absl::string_view content = message.content;
    pieces_.push_back({std::string(format.trims ? absl::StripAsciiWhitespace(content) : content)});
  }

  const ChatFamily& family_;
  std::vector<TextPiece> pieces_;
  std::vector<const ChatMessage*> held_back_;  // of the system, for the next message of the user
  bool within_turn_ = false;
  bool has_turns_ = false;
};

const ChatFamily* FindFamily(absl::string_view name) {
  const absl::Span<const ChatFamily> families = ChatFamilies();
  const auto found = std::find_if(families.begin(), families.end(),
                                  [name](const ChatFamily& family) { return family.name == name; });
  return found == families.end() ? nullptr : &*found;
}

bool Fits(const ChatRule& rule, absl::string_view text) {
  return std::all_of(std::begin(rule.marks), std::end(rule.marks),
                     [text](absl::string_view mark) { return absl::StrContains(text, mark); });
}

}  // namespace

absl::StatusOr<ChatTemplate> ChatTemplate::Recognise(absl::string_view text) {
  if (text.size() > kMaxTemplateBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a chat template of ", text.size(),
                                                   " bytes, expected at most ", kMaxTemplateBytes));
  }
  for (const ChatRule& rule : ChatRules()) {
    if (Fits(rule, text)) return Named(rule.family);
  }
  return absl::UnimplementedError(
      absl::StrCat("the chat template belongs to no known family; those are ", ChatFamilyNames()));
}

absl::StatusOr<ChatTemplate> ChatTemplate::Load(const WeightSource& file) {
  SLUICE_ASSIGN_OR_RETURN(
      const absl::string_view text,
      ReadKey<absl::string_view>(file, kTemplateKey, &MetadataValue::AsString, ""));
  if (text.empty()) {
    return absl::NotFoundError(AboutKey(file, kTemplateKey, "missing: this is no chat model"));
  }
  absl::StatusOr<ChatTemplate> result = Recognise(text);
  if (result.ok()) return result;
  return absl::Status(result.status().code(),
                      AboutKey(file, kTemplateKey, result.status().message()));
}

absl::StatusOr<ChatTemplate> ChatTemplate::Named(absl::string_view name) {
  const ChatFamily* const family = FindFamily(name);
  if (family != nullptr) return ChatTemplate(family);
  return absl::NotFoundError(absl::StrCat("no family of chat templates is named '", Printable(name),
                                          "'; those are ", ChatFamilyNames(),
                                          DidYouMean(name, NamesOf(ChatFamilies()))));
}

std::vector<TextPiece> ChatTemplate::Render(absl::Span<const ChatMessage> messages,
                                            bool invites) const {
  Renderer renderer(*family_);
  for (const ChatMessage& message : messages) renderer.Add(message);
  if (invites) renderer.Invite();
  return renderer.Take();
}

std::string ChatFamilyNames() {
  return absl::StrJoin(ChatFamilies(), ", ", [](std::string* out, const ChatFamily& family) {
    absl::StrAppend(out, family.name);
  });
}

}  // namespace sluice
