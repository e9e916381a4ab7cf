#include "tools/terminal/line_editor.h"

#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "graph/status_macros.h"
#include "models/unicode/utf8.h"

namespace sluice::tools {
namespace {

constexpr int kHistory = 1000;  // lines
constexpr std::wstring_view kPasteEnd = L"\x1b[201~";

// A key that no terminal sends: it is a signal there.
constexpr wchar_t kMoveToEnd = L'\034';

// Keys as terminals send them, besides those that libedit knows.
constexpr std::pair<const char*, const char*> kKeys[] = {
    {"\\e[200~", "sluice-paste"},      {"\\e\\r", "sluice-newline"},  // Alt-Enter
    {"\\e[A", "sluice-older"},         {"\\eOA", "sluice-older"},    {"^P", "sluice-older"},
    {"\\e[B", "sluice-newer"},         {"\\eOB", "sluice-newer"},    {"^N", "sluice-newer"},
    {"\\e[H", "ed-move-to-beg"},       {"\\e[1~", "ed-move-to-beg"}, {"\\e[F", "ed-move-to-end"},
    {"\\e[4~", "ed-move-to-end"},      {"\\e[1;5C", "em-next-word"}, {"\\e[1;5D", "ed-prev-word"},
    {"\\e[3~", "ed-delete-next-char"}, {"^R", "em-inc-search-prev"}, {"^I", "ed-insert"},
    {"\\034", "ed-move-to-end"},
};

// libedit asks the locale how wide letters are and how they are encoded.
class WithLocale {
 public:
  explicit WithLocale(locale_t locale) : before_(locale == nullptr ? nullptr : uselocale(locale)) {}
  ~WithLocale() {
    if (before_ != nullptr) uselocale(before_);
  }

 private:
  const locale_t before_;
};

LineEditor& EditorOf(EditLine* editor) {
  void* data = nullptr;
  el_wget(editor, EL_CLIENTDATA, &data);
  return *static_cast<LineEditor*>(data);
}

unsigned char Result(int code) { return static_cast<unsigned char>(code); }

unsigned char Inserted(EditLine* editor, const std::wstring& text) {
  return Result(text.empty() || el_winsertstr(editor, text.c_str()) == 0 ? CC_REFRESH : CC_ERROR);
}

std::string ToUtf8(const wchar_t* begin, const wchar_t* end) {
  std::string text;
  for (; begin != end; ++begin) AppendUtf8(static_cast<uint32_t>(*begin), &text);
  return text;
}

std::wstring Wide(absl::string_view text) {
  std::wstring wide;
  while (!text.empty()) {
    const CodePoint code = DecodeUtf8(text);
    wide += static_cast<wchar_t>(code.value);
    text.remove_prefix(code.bytes);
  }
  return wide;
}

}  // namespace

LineEditor::LineEditor(std::function<Wake()> wait) : wait_(std::move(wait)) {}

absl::StatusOr<std::unique_ptr<LineEditor>> LineEditor::Create(std::function<Wake()> wait) {
  auto editor = absl::WrapUnique(new LineEditor(std::move(wait)));
  SLUICE_RETURN_IF_ERROR(editor->Open());
  return editor;
}

absl::Status LineEditor::Open() {
  utf8_ = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);  // none: letters beyond ASCII show as codes
  const WithLocale locale(utf8_);
  // Not stderr itself, which writes letter by letter.
  const int descriptor = dup(STDERR_FILENO);
  if (descriptor >= 0) screen_ = fdopen(descriptor, "w");
  if (screen_ == nullptr) return absl::ErrnoToStatus(errno, "standard error");
  mode_ = std::make_unique<TerminalMode>();
  history_ = history_winit();
  editor_ = el_init("sluice", stdin, screen_, screen_);
  if (history_ == nullptr || editor_ == nullptr) {
    return absl::ResourceExhaustedError("no memory for the line editor");
  }
  HistEventW event;
  history_w(history_, &event, H_SETSIZE, kHistory);
  history_w(history_, &event, H_SETUNIQUE, 1);
  el_wset(editor_, EL_CLIENTDATA, this);
  el_wset(editor_, EL_HIST, history_w, history_);
  el_wset(
      editor_, EL_GETCFN,
      +[](EditLine* editor, wchar_t* character) { return EditorOf(editor).Next(character); });
  el_wset(
      editor_, EL_PROMPT, +[](EditLine* editor) { return EditorOf(editor).prompt_.data(); });
  // Between lines, what is typed is neither shown nor cut at the 4095 bytes of a line.
  el_set(editor_, EL_SETTY, "-x", "-icanon", "-echo", "-icrnl", nullptr);
  el_set(editor_, EL_SETTY, "-d", "-icrnl", "-inlcr", nullptr);  // a pasted line may end with both
  el_wset(editor_, EL_EDITOR, L"emacs");
  el_source(editor_, nullptr);  // the user's ~/.editrc, if any
  Bind();
  const char* terminal = nullptr;
  el_get(editor_, EL_TERMINAL, &terminal);
  marks_pastes_ = terminal != nullptr && !absl::StartsWith(terminal, "dumb");
  return absl::OkStatus();
}

LineEditor::~LineEditor() {
  if (editor_ != nullptr) el_end(editor_);
  mode_ = nullptr;
  if (history_ != nullptr) history_wend(history_);
  if (screen_ != nullptr) std::fclose(screen_);
  if (utf8_ != nullptr) freelocale(utf8_);
}

// Wide forms: of the others libedit loses what it makes of the names.
void LineEditor::Bind() {
  using Function = unsigned char (*)(EditLine*, wint_t);
  const Function paste = [](EditLine* editor, wint_t) {
    LineEditor& self = EditorOf(editor);
    const std::wstring text = self.ReadPaste();
    return self.interrupted_ ? Result(CC_EOF) : Inserted(editor, text);
  };
  const Function newline = [](EditLine* editor, wint_t) { return Inserted(editor, L"\n"); };
  const Function older = [](EditLine* editor, wint_t) { return EditorOf(editor).ShowOlder(); };
  const Function newer = [](EditLine* editor, wint_t) { return EditorOf(editor).ShowNewer(); };
  el_wset(editor_, EL_ADDFN, L"sluice-paste", L"Insert what is pasted", paste);
  el_wset(editor_, EL_ADDFN, L"sluice-newline", L"Insert the end of a line", newline);
  el_wset(editor_, EL_ADDFN, L"sluice-older", L"Show the line before", older);
  el_wset(editor_, EL_ADDFN, L"sluice-newer", L"Show the line after", newer);
  for (const auto& [key, command] : kKeys) el_set(editor_, EL_BIND, key, command, nullptr);
}

unsigned char LineEditor::Show(const std::wstring& text) {
  if (el_wreplacestr(editor_, text.c_str()) != 0) return CC_ERROR;
  const LineInfoW* const line = el_wline(editor_);
  el_cursor(editor_, static_cast<int>(line->lastchar - line->cursor));
  return CC_REFRESH;
}

// libedit's own functions keep 1024 letters of the line that was being written.
unsigned char LineEditor::ShowOlder() {
  HistEventW event;
  if (history_w(history_, &event, in_history_ ? H_NEXT : H_FIRST) < 0) return CC_ERROR;
  if (!std::exchange(in_history_, true)) {
    const LineInfoW* const line = el_wline(editor_);
    unfinished_.assign(line->buffer, line->lastchar);
  }
  return Show(event.str);
}

unsigned char LineEditor::ShowNewer() {
  if (!in_history_) return CC_ERROR;
  HistEventW event;
  if (history_w(history_, &event, H_PREV) >= 0) return Show(event.str);
  in_history_ = false;
  return Show(unfinished_);
}

// Up to the mark of its end. Terminals send returns for the ends of lines.
std::wstring LineEditor::ReadPaste() {
  std::wstring text;
  wchar_t character = 0;
  while (el_wgetc(editor_, &character) == 1) {
    if (character == L'\0') continue;
    const bool follows_return = !text.empty() && text.back() == L'\r';
    if (follows_return) text.back() = L'\n';
    if (follows_return && character == L'\n') continue;
    text += character;
    if (text.size() < kPasteEnd.size()) continue;
    if (text.compare(text.size() - kPasteEnd.size(), kPasteEnd.size(), kPasteEnd) != 0) continue;
    text.resize(text.size() - kPasteEnd.size());
    break;
  }
  return text;
}

int LineEditor::Next(wchar_t* character) {
  if (interrupted_) {
    std::fputs("^C\n", screen_);
    std::fflush(screen_);
    errno = EINTR;
    return -1;
  }
  while (bytes_.size() == UnfinishedUtf8(bytes_)) {
    switch (wait_()) {
      case Wake::kInterrupt: {
        const LineInfoW* const line = el_wline(editor_);
        dropped_ = ToUtf8(line->buffer, line->lastchar);
        interrupted_ = true;
        *character = kMoveToEnd;  // what was typed stays on the screen
        return 1;
      }
      case Wake::kContinued:
        mode_->Set(marks_pastes_);
        el_set(editor_, EL_PREP_TERM, 0);
        el_set(editor_, EL_PREP_TERM, 1);
        el_set(editor_, EL_REFRESH);
        break;
      case Wake::kResized:
        el_resize(editor_);
        break;
      case Wake::kInput:
        char part[4096];
        const ssize_t count = read(STDIN_FILENO, part, sizeof part);
        if (count > 0) bytes_.append(part, static_cast<size_t>(count));
        if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) return 0;
    }
  }
  const CodePoint code = DecodeUtf8(bytes_);
  bytes_.erase(0, code.bytes);
  *character = static_cast<wchar_t>(code.value);
  return 1;
}

LineEditor::Event LineEditor::ReadLine(absl::string_view prompt, std::string* line) {
  const WithLocale locale(utf8_);
  mode_->Set(marks_pastes_);
  prompt_ = Wide(prompt);
  interrupted_ = in_history_ = false;
  int length = 0;
  const wchar_t* const text = el_wgets(editor_, &length);
  if (interrupted_) {
    *line = std::move(dropped_);
    return Event::kInterrupt;
  }
  if (text == nullptr || length <= 0) {
    std::fputs("\n", screen_);
    std::fflush(screen_);
    return Event::kEnd;
  }
  *line = ToUtf8(text, text + length);
  if (absl::EndsWith(*line, "\n")) line->pop_back();
  if (!line->empty()) {
    HistEventW event;
    history_w(history_, &event, H_ENTER, Wide(*line).c_str());
  }
  return Event::kLine;
}

}  // namespace sluice::tools
