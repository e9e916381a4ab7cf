// The server's page in a browser: what a user does, and what must then be seen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "tests/support/browser.h"
#include "tests/support/served.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class ServePage : public testing::Test {
 protected:
  void SetUp() override {
    auto browser = Browser::Start();
    if (!browser.ok()) GTEST_SKIP() << browser.status();
    browser_ = *std::move(browser);
    place_ = absl::StrCat("http://127.0.0.1:", served_.server().port(), "/");
    ASSERT_EQ(browser_->Open(place_), absl::OkStatus());
    Await("document.getElementById('status').className === 'ready'");
  }
  // The page asks nobody else and says nothing on the console, where the browser itself tells of
  // requests that were refused.
  void TearDown() override {
    if (browser_ == nullptr) return;
    for (const std::string& said : browser_->console()) {
      EXPECT_THAT(said, HasSubstr(R"("source":"network")"));
    }
    for (const std::string& address : browser_->requests()) {
      EXPECT_TRUE(absl::StartsWith(address, place_) || absl::StartsWith(address, "data:"))
          << address;
    }
  }

  nlohmann::json Evaluate(const std::string& expression) {
    auto value = browser_->Evaluate(expression);
    EXPECT_TRUE(value.ok()) << value.status();
    return value.ok() ? *value : nlohmann::json();
  }
  // Until the expression is true, for a minute at most.
  void Await(const std::string& expression) {
    EXPECT_EQ(Evaluate(absl::StrCat(R"((async () => {
      for (let i = 0; i < 1200; ++i) {
        if ()",
                                    expression, R"() return true;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return document.body.innerText;
    })())")),
              true)
        << expression;
  }
  void Set(const std::string& id, const std::string& value) {
    Evaluate(absl::StrCat("void (document.getElementById('", id, "').value = '", value, "')"));
  }
  void Ask(const std::string& question) {
    ASSERT_EQ(browser_->Click("#question"), absl::OkStatus());
    ASSERT_EQ(browser_->Type(question), absl::OkStatus());
    ASSERT_EQ(browser_->Press("Enter"), absl::OkStatus());
  }
  std::string TextOf(const std::string& selector) {
    return Evaluate(absl::StrCat("document.querySelector('", selector, "').innerText"))
        .get<std::string>();
  }

  Served served_;
  std::string place_;
  std::unique_ptr<Browser> browser_;
};

TEST_F(ServePage, ChatsAndSaysHowFast) {
  EXPECT_EQ(TextOf("#model"), "stories");
  Set("max-tokens", "12");
  Ask("A <b>cat</b>.");
  Await("document.querySelectorAll('.assistant .facts').length === 1");
  EXPECT_EQ(TextOf(".user .text"), "A <b>cat</b>.");  // text, not elements
  EXPECT_THAT(TextOf(".assistant .text"), Not(IsEmpty()));
  EXPECT_THAT(TextOf(".assistant .facts"), HasSubstr("tokens/s"));
  EXPECT_THAT(TextOf("#speed"), HasSubstr("first after"));
  Ask("And then?");
  Await("document.querySelectorAll('.assistant .facts').length === 2");
  EXPECT_EQ(served_.State()["requests"]["errors"], 0);
  ASSERT_EQ(browser_->Click("#new"), absl::OkStatus());
  EXPECT_EQ(Evaluate("document.querySelectorAll('#messages li').length"), 0);
}

TEST_F(ServePage, ContinuesATextBehindIt) {
  Set("mode", "text");
  Set("max-tokens", "8");
  Ask("Once upon a time");
  Await("document.querySelectorAll('.assistant .facts').length === 1");
  EXPECT_THAT(TextOf(".assistant .text"), testing::StartsWith("Once upon a time"));
  EXPECT_EQ(Evaluate("document.querySelectorAll('.user').length"), 0);
}

TEST_F(ServePage, ShowsWhatTheServerRefuses) {
  Set("temperature", "-1");
  Ask("Hello");
  Await("document.querySelector('.assistant .error') !== null");
  EXPECT_THAT(TextOf(".assistant .error"), HasSubstr("temperature"));
}

TEST_F(ServePage, ShowsWhatTheEngineDoes) {
  served_.Ask("/v1/completions", {{"prompt", "Once upon a time"}, {"max_tokens", 20}});
  ASSERT_EQ(browser_->Click("#show-engine"), absl::OkStatus());
  Await("document.querySelectorAll('.card').length > 0");
  EXPECT_THAT(TextOf("#cards"), HasSubstr("tokens generated"));
  EXPECT_THAT(TextOf("#blocks"), HasSubstr("blocks: 0 held"));
  ASSERT_EQ(browser_->Click("#measure"), absl::OkStatus());
  served_.Ask("/v1/completions",
              {{"prompt", "Once upon a time"}, {"max_tokens", 60}, {"ignore_eos", true}});
  Await("document.querySelectorAll('#profile tbody tr').length > 3");
  EXPECT_THAT(TextOf("#profile"), HasSubstr("matmul"));
  EXPECT_THAT(TextOf("#measured"), HasSubstr("32 steps of 1.0 tokens"));
}

}  // namespace
}  // namespace sluice::server
