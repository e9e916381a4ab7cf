#include "tools/chat.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "graph/nearest_name.h"
#include "graph/status_macros.h"
#include "tools/options.h"
#include "tools/terminal/console.h"

namespace sluice::tools {
namespace {

struct Command {
  absl::string_view name, arguments, does;
};

constexpr Command kCommands[] = {
    {"/clear", "", "forget the conversation, but for the system message"},
    {"/exit", "", "end the chat, as Ctrl-D does"},
    {"/help", "", "this list"},
    {"/system", " TEXT", "the system message from here on; without TEXT: says it; -: none"},
};

constexpr absl::string_view kHelp =
    "A line that ends with \\ goes on in the next one, as after Alt-Enter; what is pasted is one\n"
    "message. One that begins with a blank is no command. Ctrl-C stops an answer or takes back "
    "what\n"
    "is typed; on an empty line, pressed twice, it ends the chat.\n";

// "/clear" of "/clear all", but not "/usr" of "/usr/bin is a folder"; "" if it is no command.
absl::string_view CommandOf(absl::string_view message) {
  if (message.size() < 2 || message[0] != '/') return "";
  const auto end = std::find_if_not(message.begin() + 1, message.end(), absl::ascii_isalpha);
  if (end == message.begin() + 1) return "";
  if (end != message.end() && !absl::ascii_isspace(*end)) return "";
  return message.substr(0, static_cast<size_t>(end - message.begin()));
}

// Whether the vocabulary knows any of the template's marks.
bool HasMarks(const Tokenizer& tokenizer, const ChatTemplate& chat_template) {
  const ChatMessage messages[] = {{ChatRole::kUser, "a"}, {ChatRole::kAssistant, "b"}};
  const std::vector<TokenId> ids =
      tokenizer.EncodePieces(chat_template.Render(messages, /*invites=*/true), false);
  return std::any_of(ids.begin(), ids.end(), [&](TokenId id) {
    const TokenType type = tokenizer.Type(id);
    return type == TokenType::kControl || type == TokenType::kUserDefined;
  });
}

class Conversation {
 public:
  Conversation(const ChatEngine& engine, const ChatOptions& options,
               const GenerateOptions& generate, Console* console)
      : engine_(engine),
        generate_(generate),
        console_(*console),
        transcript_(engine.session),
        system_(options.system) {}

  absl::Status Run(const std::string& first);

 private:
  void Obey(absl::string_view command, absl::string_view argument);
  void SetSystem(absl::string_view text);
  std::vector<ChatMessage> All() const;
  bool ReadMessage(std::string* message);
  absl::Status Answer(std::string message);
  void Report(const GenerateResult& result, size_t text_tokens) const;
  void SayFull() const;

  const ChatEngine& engine_;
  GenerateOptions generate_;
  Console& console_;
  Transcript transcript_;
  std::string system_;                 // before the messages, unless empty
  std::vector<ChatMessage> messages_;  // questions and answers
  bool interrupted_ = false;           // by Ctrl-C, with nothing entered since
  bool over_ = false;
};

std::vector<ChatMessage> Conversation::All() const {
  std::vector<ChatMessage> all;
  if (!system_.empty()) all.push_back({ChatRole::kSystem, system_});
  all.insert(all.end(), messages_.begin(), messages_.end());
  return all;
}

// The conversation goes on: the model reads all of it again, as if it had always been so.
void Conversation::SetSystem(absl::string_view text) {
  if (!text.empty()) {
    system_ = text == "-" ? "" : std::string(text);
    std::cerr << (system_.empty() ? "[no system message]\n" : "[the system message is set]\n");
  } else if (system_.empty()) {
    std::cerr << "[there is no system message]\n";
  } else {
    std::cerr << "[the system message: " << system_ << "]\n";
  }
}

void Conversation::Obey(absl::string_view command, absl::string_view argument) {
  if (command == "/system") {
    SetSystem(argument);
  } else if (const auto known = NamesOf(kCommands);
             std::find(known.begin(), known.end(), command) == known.end()) {
    std::cerr << "[unknown command " << command << DidYouMean(command, known)
              << "; /help lists them, and a blank before it sends it to the model]\n";
  } else if (!argument.empty()) {
    std::cerr << "[" << command
              << " takes nothing more; a blank before it sends it to the model]\n";
  } else if (command == "/exit") {
    over_ = true;
  } else if (command == "/clear") {
    messages_.clear();
    std::cerr << "[the conversation is forgotten]\n";
  } else {
    for (const Command& listed : kCommands) {
      std::cerr << absl::StreamFormat("%-14s %s\n", absl::StrCat(listed.name, listed.arguments),
                                      listed.does);
    }
    std::cerr << kHelp;
  }
}

// The next message; false where the chat is over.
bool Conversation::ReadMessage(std::string* message) {
  message->clear();
  std::string line;
  while (true) {
    switch (console_.ReadLine(message->empty() ? "> " : "\\ ", &line)) {
      case Console::Event::kEnd:
        return !message->empty();
      case Console::Event::kInterrupt: {
        const bool is_empty = line.empty() && message->empty();
        message->clear();
        if (std::exchange(interrupted_, is_empty) && is_empty) return false;
        if (is_empty) std::cerr << "[Ctrl-C once more or /exit ends the chat]\n";
        continue;
      }
      case Console::Event::kLine:
        interrupted_ = false;
    }
    if (!absl::EndsWith(line, "\\")) {
      absl::StrAppend(message, absl::StripSuffix(line, "\n"));  // of a paste
      return true;
    }
    line.back() = '\n';
    *message += line;
  }
}

void Conversation::SayFull() const {
  std::cerr << absl::StreamFormat(
      "[the context of %d tokens is full: the model cannot look further back. /clear begins a new "
      "conversation; a larger -c makes room for longer ones, as far as the model goes]\n",
      engine_.session.max_context());
}

void Conversation::Report(const GenerateResult& result, size_t text_tokens) const {
  const int64_t known = static_cast<int64_t>(text_tokens) - result.prompted;
  std::cerr << absl::StreamFormat("[%s after %d tokens; prompt %d tokens, %d known",
                                  Describe(result.reason), result.generated, result.prompted,
                                  known);
  PrintDecoding(result);
}

absl::Status Conversation::Answer(std::string message) {
  messages_.push_back({ChatRole::kUser, std::move(message)});
  const std::vector<TokenId> ids =
      engine_.tokenizer.EncodePieces(engine_.chat_template.Render(All(), /*invites=*/true));
  if (static_cast<int64_t>(ids.size()) >= engine_.session.max_context()) {
    messages_.pop_back();
    SayFull();
    return absl::OkStatus();
  }
  std::string answer;
  StreamingDecoder decoder(engine_.tokenizer, {.continues = true});
  const auto print = [&answer](const std::string& text) {
    answer += text;
    std::cout << text << std::flush;
  };
  generate_.on_token = [&](TokenId id) {
    print(decoder.Push(id));
    return std::cout.good();
  };
  absl::StatusOr<GenerateResult> result = transcript_.Continue(ids, generate_);
  print(decoder.Finish());
  std::cout << std::endl;
  SLUICE_RETURN_IF_ERROR(result.status());
  messages_.push_back({ChatRole::kAssistant, std::move(answer)});
  ++generate_.sampling.seed;  // another answer to the same question
  interrupted_ = result->reason == StopReason::kCallback;
  Report(*result, ids.size());
  if (result->reason == StopReason::kContext) SayFull();
  return absl::OkStatus();
}

absl::Status Conversation::Run(const std::string& first) {
  if (!first.empty()) SLUICE_RETURN_IF_ERROR(Answer(first));
  std::string message;
  while (!over_ && std::cout && ReadMessage(&message)) {
    if (const absl::string_view command = CommandOf(message); !command.empty()) {
      Obey(command, absl::StripAsciiWhitespace(message.substr(command.size())));
    } else if (!absl::StripAsciiWhitespace(message).empty()) {
      SLUICE_RETURN_IF_ERROR(Answer(std::move(message)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

void PrintDecoding(const GenerateResult& result) {
  if (result.generated > 1 && result.decode_seconds > 0) {
    std::cerr << absl::StreamFormat(", text at %.1f/s",
                                    static_cast<double>(result.generated) / result.decode_seconds);
  }
  if (result.drafted > 0) {
    std::cerr << absl::StreamFormat("; %d of %d drafted tokens accepted", result.accepted,
                                    result.drafted);
  }
  std::cerr << "]\n";
}

void ChatOptions::Declare(CLI::App* command) {
  CLI::Option* const chat = command->add_flag(
      "--chat", enabled, "answer questions from standard input, one a line; -p: the first");
  command
      ->add_option("--system", system, "what the model is told before the conversation; also -sys")
      ->needs(chat);
  command
      ->add_option(
          "--chat-template", template_name,
          "format of conversations, by name (chatml, llama3, ...); the model's own if left "
          "out")
      ->needs(chat);
}

absl::StatusOr<ChatTemplate> ChatOptions::Template(const WeightSource& file) const {
  if (!template_name.empty()) return ChatTemplate::Named(template_name);
  absl::StatusOr<ChatTemplate> own = ChatTemplate::Load(file);
  switch (own.status().code()) {
    case absl::StatusCode::kNotFound:
      return absl::NotFoundError(
          absl::StrCat(own.status().message(),
                       ". `sluice run -p TEXT` continues a text; --chat-template NAME, such as "
                       "chatml, chats with it all the same"));
    case absl::StatusCode::kUnimplemented:
      return absl::UnimplementedError(
          absl::StrCat(own.status().message(), ". --chat-template NAME takes one of them"));
    default:
      return own;
  }
}

absl::Status Chat(const ChatEngine& engine, const ChatOptions& options, const std::string& first,
                  const GenerateOptions& generate) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Console> console, Console::Open());
  std::cerr << "chat template: " << engine.chat_template.name()
            << (options.template_name.empty() ? " (the model's own)" : "") << "; /help for help\n";
  if (!HasMarks(engine.tokenizer, engine.chat_template)) {
    Warn(absl::StrCat("the vocabulary has none of the marks of ", engine.chat_template.name(),
                      " as tokens: the model reads them as plain text, and its answers may not end "
                      "where they should"));
  }
  GenerateOptions stoppable = generate;
  stoppable.is_stopped = [&console] { return console->TakeInterrupt(); };
  return Conversation(engine, options, stoppable, console.get()).Run(first);
}

}  // namespace sluice::tools
