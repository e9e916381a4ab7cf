#include "tools/terminal/terminal_filter.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "models/unicode/printable.h"
#include "models/unicode/utf8.h"

namespace sluice::tools {

TerminalFilter::~TerminalFilter() { Write(PrintableText(unfinished_)); }

bool TerminalFilter::Write(absl::string_view text) {
  const auto size = static_cast<std::streamsize>(text.size());
  return terminal_.sputn(text.data(), size) == size;
}

std::streamsize TerminalFilter::xsputn(const char* text, std::streamsize size) {
  const std::lock_guard lock(mutex_);
  const absl::string_view piece(text, static_cast<size_t>(size));
  std::string whole = absl::StrCat(unfinished_, piece);
  unfinished_ = whole.substr(whole.size() - UnfinishedUtf8(whole));
  whole.resize(whole.size() - unfinished_.size());
  return Write(PrintableText(whole)) ? size : 0;
}

TerminalFilter::int_type TerminalFilter::overflow(int_type character) {
  if (traits_type::eq_int_type(character, traits_type::eof()))
    return traits_type::not_eof(character);
  const char byte = traits_type::to_char_type(character);
  return xsputn(&byte, 1) == 1 ? character : traits_type::eof();
}

int TerminalFilter::sync() { return terminal_.pubsync(); }

FilteredStream::FilteredStream(std::ostream& stream, int descriptor)
    : stream_(stream), before_(*stream.rdbuf()), filter_(before_) {
  if (isatty(descriptor) != 0) stream.rdbuf(&filter_);
}

FilteredStream::~FilteredStream() { stream_.rdbuf(&before_); }

}  // namespace sluice::tools
