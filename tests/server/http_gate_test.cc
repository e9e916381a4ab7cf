// Who may ask the server, under which name, from which page; and the keys.
#include "tools/server/http_gate.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tools/server/http_addresses.h"
#include "tools/server/http_key.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// A verdict in words.
struct Judged {
  int status = 0;
  bool may_go_on = false;
  std::map<std::string, std::string> headers;
};

Judged Judge(const HttpOptions& options, absl::string_view first, absl::string_view lines) {
  static const std::vector<Route> routes = {
      {"GET", "/health", {}, /*is_open=*/true}, {"GET", "/"}, {"POST", "/ask"}};
  const std::string text = absl::StrCat(first, " HTTP/1.1\r\n", lines, "\r\n");
  absl::string_view bytes = text;
  HttpHeadReader reader;
  EXPECT_EQ(reader.Take(&bytes), HttpHeadReader::State::kWhole) << reader.refusal().message;
  const HttpGate::Verdict verdict = HttpGate(options, routes).Judge(reader.head());
  return {verdict.refusal.status,
          verdict.refusal.status == 0 && verdict.route != nullptr,
          {verdict.headers.begin(), verdict.headers.end()}};
}
int StatusOf(const HttpOptions& options, absl::string_view first, absl::string_view lines) {
  return Judge(options, first, lines).status;
}

constexpr absl::string_view kJson = "Content-Type: application/json\r\nContent-Length: 2\r\n";

TEST(HttpGate, TakesItsOwnNamesOnly) {
  const HttpOptions options = {.host = "my.Machine", .allowed_hosts = {"chat.example.org"}};
  for (const char* host : {"localhost", "localhost:80", "LOCALHOST.", "127.0.0.1:8080", "[::1]:80",
                           "10.1.2.3", "MY.machine:1", "Chat.Example.org:443"}) {
    EXPECT_EQ(StatusOf(options, "GET /health", absl::StrCat("Host: ", host, "\r\n")), 0) << host;
  }
  for (const char* host : {"evil.example", "xlocalhost", "127.0.0.1.evil.example", "127.1",
                           "0x7f000001", "a.chat.example.org", "my"}) {
    const std::string line = absl::StrCat("Host: ", host, "\r\n");
    EXPECT_EQ(StatusOf(options, "GET /health", line), 403) << host;
  }
  EXPECT_EQ(StatusOf({.allowed_hosts = {"*"}}, "GET /health", "Host: evil.example\r\n"), 0);
}

// A page under a foreign name does not know the key.
TEST(HttpGate, WithAKeyNamesAndOriginsDoNotMatter) {
  const HttpOptions options = {.api_keys = {"secret"}};
  const std::string lines = "Host: evil.example\r\nOrigin: http://evil.example\r\n";
  EXPECT_EQ(StatusOf(options, "GET /", lines), 401);
  EXPECT_EQ(StatusOf(options, "GET /", lines + "Authorization: Bearer secret\r\n"), 0);
  EXPECT_EQ(StatusOf(options, "GET /", lines + "Authorization: Bearer secre\r\n"), 401);
  EXPECT_EQ(StatusOf(options, "GET /nonesuch", lines), 401);
  EXPECT_EQ(StatusOf(options, "OPTIONS /", lines), 401);
  EXPECT_EQ(StatusOf(options, "GET /health", lines), 0);
  EXPECT_EQ(StatusOf(options, "POST /ask", absl::StrCat(lines, kJson)), 401);
}

TEST(HttpGate, PagesOfOthersNeedTheirOriginAllowed) {
  const std::string host = "Host: localhost:8080\r\n";
  const std::string page = host + "Origin: https://chat.example.org\r\n";
  EXPECT_EQ(StatusOf({}, "POST /ask", absl::StrCat(page, kJson)), 403);
  const HttpOptions options = {.cors_origins = {"https://chat.example.org"}};
  const Judged allowed = Judge(options, "POST /ask", absl::StrCat(page, kJson));
  EXPECT_TRUE(allowed.may_go_on);
  EXPECT_EQ(allowed.headers.at("Access-Control-Allow-Origin"), "https://chat.example.org");
  EXPECT_EQ(allowed.headers.at("Vary"), "Origin");
  // Others learn nothing, and caches keep the two apart.
  const Judged refused =
      Judge(options, "POST /ask", absl::StrCat(host, "Origin: http://evil.example\r\n", kJson));
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.headers.count("Access-Control-Allow-Origin"), 0);
  EXPECT_EQ(refused.headers.at("Vary"), "Origin");
  EXPECT_EQ(StatusOf(options, "POST /ask",
                     absl::StrCat(host, "Origin: https://chat.example.org.evil\r\n", kJson)),
            403);
  // Errors can be read, too.
  EXPECT_EQ(Judge(options, "GET /nonesuch", page).headers.at("Access-Control-Allow-Origin"),
            "https://chat.example.org");
  const Judged any = Judge({.cors_origins = {"*"}}, "POST /ask", absl::StrCat(page, kJson));
  EXPECT_TRUE(any.may_go_on);
  EXPECT_EQ(any.headers.at("Access-Control-Allow-Origin"), "*");
}

TEST(HttpGate, AnswersWhetherAPageMayAsk) {
  const std::string asks =
      "Host: localhost\r\nOrigin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n"
      "Access-Control-Request-Headers: authorization,content-type,x-stainless-os\r\n";
  // With a key, too: a browser sends none with the question.
  for (const std::vector<std::string>& keys : {std::vector<std::string>(), {"secret"}}) {
    const Judged judged =
        Judge({.api_keys = keys, .cors_origins = {"https://a.example"}}, "OPTIONS /ask", asks);
    EXPECT_EQ(judged.status, 0);
    EXPECT_EQ(judged.headers.at("Access-Control-Allow-Origin"), "https://a.example");
    EXPECT_EQ(judged.headers.at("Access-Control-Allow-Methods"), "GET, HEAD, POST");
    EXPECT_EQ(judged.headers.at("Access-Control-Allow-Headers"),
              "authorization,content-type,x-stainless-os");
  }
  EXPECT_EQ(StatusOf({}, "OPTIONS /ask", asks), 403);
  EXPECT_EQ(StatusOf({.api_keys = {"secret"}}, "OPTIONS /ask", asks), 401);
}

TEST(HttpGate, AStarStandsForAllThatGoesOn) {
  const std::vector<Route> routes = {{"GET", "/models"}, {"GET", "/models/*"}};
  const HttpOptions options;
  const HttpGate gate(options, routes);
  const auto judge = [&](const std::string& path) {
    HttpHead head;
    head.method = "GET";
    head.path = path;
    return gate.Judge(head);
  };
  EXPECT_EQ(judge("/models").path, "/models");
  EXPECT_EQ(judge("/models/a/b c").path, "/models/*");
  EXPECT_EQ(judge("/models/a/b c").rest, "a/b c");
  EXPECT_EQ(judge("/models/").refusal.status, 404);
  EXPECT_EQ(judge("/modelsx").path, "");
}

TEST(HttpGate, SaysHowToAskForAKey) {
  const HttpOptions options = {.api_keys = {"secret"}};
  EXPECT_THAT(Judge(options, "GET /", "Host: a\r\n").headers.at("WWW-Authenticate"),
              HasSubstr("Basic realm="));
  EXPECT_EQ(Judge(options, "POST /ask", "Host: a\r\n").headers.at("WWW-Authenticate"), "Bearer");
}

TEST(HttpGate, RefusesOptionsThatProtectNothing) {
  EXPECT_TRUE(CheckHttpOptions({}).ok());
  EXPECT_TRUE(CheckHttpOptions({.api_keys = {"a-Z_0~!"},
                                .allowed_hosts = {"a.example", "[::1]", "*"},
                                .cors_origins = {"http://a:1", "https://b", "null", "*"}})
                  .ok());
  for (const char* key : {"", " ", "a b", "a\n", "a\tb", "\x7f", "\xC3\xA9"}) {
    const absl::Status status = CheckHttpOptions({.api_keys = {"good", key}});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << absl::CEscape(key);
    EXPECT_THAT(std::string(status.message()), HasSubstr("API key"));
    EXPECT_FALSE(HttpServer::Listen({.port = 0, .api_keys = {key}}, {}).ok());
  }
  for (const char* host : {"", "a b", "a:80", "http://a", "a/b"}) {
    EXPECT_FALSE(CheckHttpOptions({.allowed_hosts = {host}}).ok()) << host;
  }
  for (const char* origin : {"", "a.example", "http://a/", "ftp://a", "http://", "http://a:x"}) {
    EXPECT_FALSE(CheckHttpOptions({.cors_origins = {origin}}).ok()) << origin;
  }
}

// A text that counts which of its bytes are looked at.
struct Watched {
  std::string text;
  mutable std::vector<int> looks = std::vector<int>(text.size());

  size_t size() const { return text.size(); }
  unsigned char operator[](size_t i) const {
    ++looks.at(i);
    return static_cast<unsigned char>(text[i]);
  }
};

TEST(HttpKey, TakesAsManyLooksWhereverItIsWrong) {
  const std::string right = "sk-0123456789abcdef";
  for (size_t length : {size_t{0}, size_t{1}, right.size() - 1, right.size(), size_t{50}}) {
    const std::string base = (right + std::string(50, 'x')).substr(0, length);
    for (size_t wrong = 0; wrong <= length; ++wrong) {
      const std::vector<Watched> keys = {{"other"}, {right}, {"k"}};
      Watched given = {base};
      if (wrong < length) given.text[wrong] ^= 1;
      EXPECT_EQ(IsAnyKey(keys, given), given.text == right);
      // Every byte that was given, once for each key; of a key that is longer, no other number
      // than of a shorter one.
      EXPECT_THAT(given.looks, testing::Each(static_cast<int>(keys.size())));
      for (const Watched& key : keys) {
        size_t sum = 0;
        for (const int looks : key.looks) sum += static_cast<size_t>(looks);
        EXPECT_EQ(sum, length);
      }
    }
  }
}

TEST(HttpKey, IsRightOnlyIfTheSame) {
  const std::vector<std::string> keys = {"abc", "x"};
  for (const char* given : {"abc", "x"}) EXPECT_TRUE(IsAnyKey(keys, std::string(given)));
  for (const char* given : {"", "a", "ab", "abcd", "abcabc", "xx", "ABC"}) {
    EXPECT_FALSE(IsAnyKey(keys, std::string(given))) << given;
  }
}

TEST(HttpKey, IsFoundInTheHeader) {
  EXPECT_EQ(KeyIn("Bearer abc"), "abc");
  EXPECT_EQ(KeyIn("bearer  abc "), "abc");
  EXPECT_EQ(KeyIn(absl::StrCat("Basic ", absl::Base64Escape("any:a:c"))), "a:c");
  for (const char* none : {"", "Bearer", "abc", "Basic !", "Basic YWJj", "Digest abc"}) {
    EXPECT_THAT(KeyIn(none), IsEmpty()) << none;
  }
}

std::string NeighbourAt(const std::string& text) {
  sockaddr_storage address = {};
  if (text.find(':') == std::string::npos) {
    address.ss_family = AF_INET;
    inet_pton(AF_INET, text.c_str(), &reinterpret_cast<sockaddr_in&>(address).sin_addr);
  } else {
    address.ss_family = AF_INET6;
    inet_pton(AF_INET6, text.c_str(), &reinterpret_cast<sockaddr_in6&>(address).sin6_addr);
  }
  return NeighbourOf(address);
}

TEST(HttpAddresses, TellWhoIsWho) {
  for (const char* local : {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_EQ(NeighbourAt(local), "") << local;
  }
  EXPECT_EQ(NeighbourAt("192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(NeighbourAt("::ffff:192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(NeighbourAt("2001:db8::1"), NeighbourAt("2001:db8::ffff:2"));
  EXPECT_NE(NeighbourAt("2001:db8::1"), NeighbourAt("2001:db8:0:1::1"));
  for (const char* local : {"localhost", "127.0.0.1", "127.8.0.1", "::1", "[::1]"}) {
    EXPECT_TRUE(IsLoopback(local)) << local;
  }
  for (const char* far : {"0.0.0.0", "::", "127.evil.example", "example.org", "10.0.0.1"}) {
    EXPECT_FALSE(IsLoopback(far)) << far;
  }
  EXPECT_EQ(UrlHost("::1"), "[::1]");
  EXPECT_EQ(UrlHost("[::1]"), "[::1]");
  EXPECT_EQ(UrlHost("127.0.0.1"), "127.0.0.1");
}

TEST(HttpAddresses, CountNeighboursButNotThisMachine) {
  NeighbourCounts counts(2);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(counts.Admit(""));
  EXPECT_TRUE(counts.Admit("a"));
  EXPECT_TRUE(counts.Admit("a"));
  EXPECT_FALSE(counts.Admit("a"));
  EXPECT_TRUE(counts.Admit("b"));
  counts.Leave("a");
  EXPECT_TRUE(counts.Admit("a"));
  EXPECT_FALSE(counts.Admit("a"));
}

}  // namespace
}  // namespace sluice::server
