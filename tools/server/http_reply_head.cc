#include "tools/server/http_reply_head.h"

#include <array>
#include <ctime>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice::server {
namespace {

struct Reason {
  int status;
  const char* text;
};
constexpr Reason kReasons[] = {{200, "OK"},
                               {204, "No Content"},
                               {400, "Bad Request"},
                               {401, "Unauthorized"},
                               {403, "Forbidden"},
                               {404, "Not Found"},
                               {405, "Method Not Allowed"},
                               {408, "Request Timeout"},
                               {411, "Length Required"},
                               {413, "Content Too Large"},
                               {414, "URI Too Long"},
                               {415, "Unsupported Media Type"},
                               {417, "Expectation Failed"},
                               {429, "Too Many Requests"},
                               {431, "Request Header Fields Too Large"},
                               {499, "Client Closed Request"},
                               {500, "Internal Server Error"},
                               {501, "Not Implemented"},
                               {503, "Service Unavailable"},
                               {504, "Gateway Timeout"},
                               {505, "HTTP Version Not Supported"}};

// May be empty: RFC 9112, 4.
const char* ReasonOf(int status) {
  for (const Reason& reason : kReasons) {
    if (reason.status == status) return reason.text;
  }
  return "";
}

// RFC 9110, 5.6.7, in the language that it asks for.
std::string DateOf(int64_t time) {
  constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = time;
  std::tm date = {};
  gmtime_r(&seconds, &date);
  return absl::StrFormat("%s, %02d %s %04d %02d:%02d:%02d GMT",
                         kDays[static_cast<size_t>(date.tm_wday)], date.tm_mday,
                         kMonths[static_cast<size_t>(date.tm_mon)], date.tm_year + 1900,
                         date.tm_hour, date.tm_min, date.tm_sec);
}

// A line break in a value would be another field.
std::string ValueOf(std::string text) {
  for (char& c : text) {
    if (c != '\t' && absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
  }
  return text;
}

}  // namespace

std::string HttpReplyHead::Text(int64_t time) const {
  std::string text = absl::StrCat("HTTP/1.1 ", status, " ", ReasonOf(status), "\r\n");
  const auto add = [&text](absl::string_view name, absl::string_view value) {
    absl::StrAppend(&text, name, ": ", value, "\r\n");
  };
  add("Date", DateOf(time));
  for (const auto& [name, value] : fields) add(name, ValueOf(value));
  add("X-Content-Type-Options", "nosniff");
  if (length.has_value()) {
    if (status != 204) add("Content-Length", absl::StrCat(*length));
  } else if (minor_version >= 1) {
    add("Transfer-Encoding", "chunked");
  }
  if (!keeps_alive) {
    add("Connection", "close");
  } else {
    // HTTP/1.0 has to be told; pools of clients read how long.
    add("Connection", "keep-alive");
    add("Keep-Alive", absl::StrCat("timeout=", idle_seconds));
  }
  return text + "\r\n";
}

std::string Chunk(absl::string_view bytes) {
  return absl::StrCat(absl::Hex(bytes.size()), "\r\n", bytes, "\r\n");
}

}  // namespace sluice::server
