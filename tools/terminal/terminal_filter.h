// Keeps what models, files and clients wrote from commanding a terminal.
#pragma once

#include <mutex>
#include <ostream>
#include <streambuf>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice::tools {

// Passes text on with everything but lines and tabs shown instead of sent (PrintableText), wherever
// the pieces end. For any thread.
class TerminalFilter : public std::streambuf {
 public:
  explicit TerminalFilter(std::streambuf& terminal) : terminal_(terminal) {}
  ~TerminalFilter() override;  // with what is left of an unfinished character

 protected:
  int_type overflow(int_type character) override;
  std::streamsize xsputn(const char* text, std::streamsize size) override;
  int sync() override;

 private:
  bool Write(absl::string_view text);

  std::streambuf& terminal_;
  std::mutex mutex_;
  std::string unfinished_;  // character
};

// Puts a filter before `stream` for as long as it lives, where `descriptor` is a terminal. In a
// pipe bytes stay as they are.
class FilteredStream {
 public:
  FilteredStream(std::ostream& stream, int descriptor);
  ~FilteredStream();
  FilteredStream(const FilteredStream&) = delete;
  FilteredStream& operator=(const FilteredStream&) = delete;

 private:
  std::ostream& stream_;
  std::streambuf& before_;
  TerminalFilter filter_;
};

}  // namespace sluice::tools
