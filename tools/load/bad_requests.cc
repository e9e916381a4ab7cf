#include "tools/load/bad_requests.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace sluice::load {
namespace {

std::string Repeat(absl::string_view text, size_t count) {
  std::string result;
  result.reserve(text.size() * count);
  for (size_t i = 0; i < count; ++i) absl::StrAppend(&result, text);
  return result;
}

std::string Stops(size_t count) {
  return absl::StrCat(R"({"prompt":"a","stop":["x")", Repeat(R"(,"x")", count - 1), "]}");
}

}  // namespace

std::vector<BadRequest> AllBadRequests(size_t most_bytes) {
  const std::string completions = "/v1/completions", chat = "/v1/chat/completions";
  const std::vector<int> refused = {400};
  return {
      {"an empty body", completions, "", refused},
      {"half a body", completions, R"({"prompt":"a)", refused},
      {"no object", completions, "[1,2]", refused},
      {"no prompt", completions, "{}", refused},
      {"an empty prompt", completions, R"({"prompt":[]})", refused},
      {"deep nesting", completions, Repeat("[", 100000), refused},
      {"a deep message", chat, absl::StrCat(R"({"messages":)", Repeat("[", 100000)), refused},
      {"a lone surrogate", completions, R"({"prompt":"\ud800"})", refused},
      {"a number beyond all", completions, R"({"prompt":"a","temperature":1e999})", refused},
      {"a NaN", completions, R"({"prompt":"a","temperature":NaN})", refused},
      {"a negative count", completions, R"({"prompt":"a","max_tokens":-5})", refused},
      {"a token out of range", completions, R"({"prompt":[2147483647]})", refused},
      {"a million stops", completions, Stops(1000000), {400, 413, 0}},
      {"a role that does not exist", chat, R"({"messages":[{"role":"god","content":"a"}]})",
       refused},
      {"no such route", "/v1/nothing", "{}", {404}},
      {"a body that is too large",
       completions,
       absl::StrCat(R"({"prompt":")", std::string(most_bytes, 'a'), R"("})"),
       {413, 400, 0}},
  };
}

bool SendHalfARequest(const std::string& url) {
  absl::string_view host = url;
  absl::ConsumePrefix(&host, "http://");
  const std::pair<std::string, std::string> place = absl::StrSplit(host, absl::MaxSplits(':', 1));
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(place.first.c_str(), place.second.c_str(), &hints, &found) != 0) return false;
  const int connection = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
  const bool connected =
      connection >= 0 && connect(connection, found->ai_addr, found->ai_addrlen) == 0;
  freeaddrinfo(found);
  if (connected) {
    const std::string half =
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: 100\r\n\r\n{\"prompt\":\"Once";
    send(connection, half.data(), half.size(), MSG_NOSIGNAL);
  }
  if (connection >= 0) close(connection);
  return connected;
}

}  // namespace sluice::load
