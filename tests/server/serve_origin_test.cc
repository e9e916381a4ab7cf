// What pages of others get from the server in a browser: nothing, unless their origin is allowed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/substitute.h"
#include "tests/support/browser.h"
#include "tests/support/http_served.h"
#include "tests/support/served.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;

class ServeOrigin : public testing::Test {
 protected:
  // Names that the owner of the page, and of the name, lets point to this machine.
  void SetUp() override {
    auto browser =
        Browser::Start(/*dark=*/false, {"--host-resolver-rules=MAP *.example 127.0.0.1"});
    if (!browser.ok()) GTEST_SKIP() << browser.status();
    browser_ = *std::move(browser);
  }

  void Open(const std::string& place) { ASSERT_EQ(browser_->Open(place), absl::OkStatus()); }
  std::string Evaluate(const std::string& expression) {
    const auto value = browser_->Evaluate(expression);
    EXPECT_TRUE(value.ok()) << value.status();
    return value.ok() && value->is_string() ? value->get<std::string>() : "";
  }
  // What comes of fetch with these arguments: "TYPE STATUS BODY", or "TypeError".
  std::string Fetch(const std::string& arguments) {
    return Evaluate(absl::Substitute(R"((async () => {
      try {
        const response = await fetch($0);
        return `$${response.type} $${response.status} $${await response.text()}`;
      } catch (error) {
        return error.name;
      }
    })())",
                                     arguments));
  }

  std::unique_ptr<Browser> browser_;
};

std::string UrlOf(const std::string& host, int port) {
  return absl::StrCat("http://", host, ":", port);
}

// A question, as fetch wants it.
std::string Asking(const std::string& url, const std::string& more) {
  return absl::Substitute(
      R"('$0/v1/completions', {method: 'POST', body: '{"prompt": "Once", "max_tokens": 3}', $1})",
      url, more);
}
constexpr absl::string_view kJson = "headers: {'Content-Type': 'application/json'}";

// Statuses in the log, by method and route.
std::map<std::string, int> Statuses(const std::string& log) {
  std::map<std::string, int> statuses;
  for (const absl::string_view line : absl::StrSplit(log, '\n', absl::SkipEmpty())) {
    const Json record = Json::parse(line);
    statuses[absl::StrCat(record["method"].get<std::string>(), " ",
                          record["route"].get<std::string>())] = record["status"];
  }
  return statuses;
}

TEST_F(ServeOrigin, PagesOfOthersGetNothing) {
  Served served;
  const HttpServed other;
  const std::string url = UrlOf("127.0.0.1", served.server().port());
  Open(UrlOf("evil.example", other.port()));
  EXPECT_EQ(Fetch(absl::StrCat("'", url, "/v1/models'")), "TypeError");
  EXPECT_EQ(Fetch(Asking(url, std::string(kJson))), "TypeError");
  EXPECT_EQ(Fetch(Asking(url, "")), "TypeError");
  // What needs no leave of the server is sent, and does nothing; nobody can read what comes.
  EXPECT_EQ(Fetch(Asking(url, "mode: 'no-cors'")), "opaque 0 ");
  EXPECT_EQ(Fetch(absl::StrCat("'", url, "/profile', {mode: 'no-cors'}")), "opaque 0 ");
  EXPECT_EQ(Evaluate(absl::Substitute(R"(new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve('loaded');
    image.onerror = () => resolve('nothing');
    image.src = '$0/state';
  }))",
                                      url)),
            "nothing");
  // Nor can the server's page be put into another one, to be clicked at unseen.
  EXPECT_EQ(Evaluate(absl::Substitute(R"(new Promise((resolve) => {
    const frame = document.createElement('iframe');
    frame.onload = () => {
      try {
        resolve(frame.contentWindow.location.href);
      } catch (error) {
        resolve(error.name);
      }
    };
    frame.src = '$0/';
    document.body.append(frame);
  }))",
                                      url)),
            "SecurityError");
  EXPECT_EQ(served.State()["requests"]["completion_tokens"], 0);
  const std::map<std::string, int> statuses = Statuses(served.End());
  for (const char* asked :
       {"GET /v1/models", "OPTIONS /v1/completions", "POST /v1/completions", "GET /profile"}) {
    ASSERT_EQ(statuses.count(asked), 1) << asked;
    EXPECT_EQ(statuses.at(asked), 403) << asked;
  }
}

TEST_F(ServeOrigin, ANameThatWasReboundGetsNothing) {
  Served served;
  const std::string url = UrlOf("evil.example", served.server().port());
  Open(url);
  EXPECT_THAT(Evaluate("document.body.innerText"), HasSubstr("--allowed-hosts"));
  // To the browser the page and the server are the same origin.
  EXPECT_THAT(Fetch("'/v1/models'"), HasSubstr("basic 403"));
  EXPECT_THAT(Fetch(Asking(url, std::string(kJson))), HasSubstr("basic 403"));
  EXPECT_EQ(served.State()["requests"]["completion_tokens"], 0);
}

TEST_F(ServeOrigin, AllowedOnesAreServed) {
  const HttpServed other;
  ApiOptions options;
  const std::string friendly = UrlOf("friend.example", other.port());
  options.http.cors_origins = {friendly};
  options.http.api_keys = {"secret"};
  Served served(options);
  const std::string url = UrlOf("127.0.0.1", served.server().port());
  Open(friendly);
  EXPECT_THAT(Fetch(Asking(url,
                           "headers: {'Content-Type': 'application/json', 'Authorization': "
                           "'Bearer secret', 'X-Stainless-Os': 'any'}")),
              HasSubstr("cors 200 {\"id\":"));
  // An error can be read, too.
  EXPECT_THAT(Fetch(Asking(url, std::string(kJson))), HasSubstr("cors 401"));
  Open(UrlOf("evil.example", other.port()));
  EXPECT_EQ(Fetch(Asking(url,
                         "headers: {'Content-Type': 'application/json', 'Authorization': "
                         "'Bearer secret'}")),
            "TypeError");
}

}  // namespace
}  // namespace sluice::server
