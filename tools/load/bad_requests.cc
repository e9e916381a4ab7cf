#include "tools/load/bad_requests.h"

#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "tools/load/held_connections.h"

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
  const int connection = ConnectTo(url);
  if (connection < 0) return false;
  constexpr absl::string_view kHalf =
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 100\r\n\r\n{\"prompt\":\"Once";
  send(connection, kHalf.data(), kHalf.size(), MSG_NOSIGNAL);
  close(connection);
  return true;
}

}  // namespace sluice::load
