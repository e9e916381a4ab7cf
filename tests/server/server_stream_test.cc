// Streams begin at once, queued or not, and tell what happens from then on; and what else the
// server says beside its answers: warnings, codes of errors, its model.
#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/support/served.h"

namespace sluice::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

Json UserSays(const std::string& text) {
  return Json::array({{{"role", "user"}, {"content", text}}});
}

// More answers than there are places, which take seconds: who comes later waits. They end with it.
class Crowd {
 public:
  explicit Crowd(Served& served) : wire_(served.server().port()) {
    wire_.SayRequest({{"prompt", "Once"},
                      {"max_tokens", 100},
                      {"n", kSize},
                      {"temperature", 2},
                      {"ignore_eos", true}});
    served.Await([](const Json& state) {
      return state["places"]["taken"] == kSize && state["engine"]["waiting"] > 0;
    });
  }
  static constexpr int kSize = 60;

 private:
  Wire wire_;
};

// What comes until `text` has come so often.
std::string HearUntil(Wire& wire, const std::string& text, size_t times = 1) {
  std::string heard;
  const auto found = [&] {
    return std::vector<std::string>(absl::StrSplit(heard, text)).size() - 1;
  };
  while (found() < times) {
    const std::string more = wire.Hear(1);
    if (more.empty()) break;
    heard += more;
  }
  EXPECT_GE(found(), times) << heard.substr(0, 1000);
  return heard;
}

std::vector<Json> Progress(const std::string& body) {
  std::vector<Json> progress;
  for (const absl::string_view part : absl::StrSplit(body, "\n\n")) {
    if (!absl::StrContains(part, "prompt_progress")) continue;
    progress.push_back(Json::parse(part.substr(6)));
  }
  return progress;
}

TEST(ServerStream, BeginsAtOnceThoughItWaitsForAPlace) {
  Served served;
  const Crowd crowd(served);
  auto best = milliseconds::max();
  for (int i = 0; i < 5; ++i) {
    Wire wire(served.server().port());
    const auto begin = steady_clock::now();
    wire.SayRequest(Long(true));
    const std::string heard = HearUntil(wire, ": accepted");
    best = std::min(best, std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin));
    EXPECT_THAT(
        heard, AllOf(HasSubstr("200 OK"), HasSubstr("text/event-stream"), Not(HasSubstr("data:"))));
  }
  EXPECT_GT(served.State()["engine"]["waiting"], 0) << "the crowd was too quick";
  EXPECT_LT(best, milliseconds(50));  // of several, because machines are busy
  // All of them have gone away: their places are free again, though they never had their turn.
  served.Await([](const Json& state) { return state["places"]["taken"] == Crowd::kSize; });
}

TEST(ServerStream, SaysThatItIsStillThere) {
  ApiOptions options;
  options.limits.ping = milliseconds(5);
  Served served(options);
  std::optional<Crowd> crowd(served);
  Wire wire(served.server().port()), quiet(served.server().port());
  wire.SayRequest(Long(true));
  Json body = Long(true);
  body["sse_ping_interval"] = -1;  // does not want to know
  quiet.SayRequest(body);
  const std::string accepted = HearUntil(quiet, ": accepted");
  HearUntil(wire, ": waiting for a place", 5);
  crowd.reset();
  EXPECT_THAT(accepted + HearUntil(quiet, "data:"), Not(HasSubstr(": waiting")));
}

TEST(ServerStream, AnErrorAfterItsBeginningIsAnEvent) {
  ApiOptions options;
  options.limits.timeout = milliseconds(50);
  const Served served(options);
  Json body = Long(true);
  body["n"] = Crowd::kSize;
  const auto result = served.Post("/v1/completions", body);
  EXPECT_EQ(result->status, 200);
  EXPECT_THAT(result->body, AllOf(testing::StartsWith(": accepted\n\n"), Not(HasSubstr("[DONE]"))));
  const std::string last = result->body.substr(result->body.rfind("data: ") + 6);
  const Json error = Json::parse(last)["error"];
  EXPECT_EQ(error["type"], "timeout_error");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("not finished after"));
}

// In llama.cpp's form, with the counts rising to the whole prompt before the first text.
TEST(ServerStream, TellsOfThePromptIfItIsAskedTo) {
  const Served served;
  Json body = {{"prompt", std::vector<int>(100, 5)},
               {"max_tokens", 2},
               {"stream", true},
               {"return_progress", true}};
  const std::string first = served.Post("/v1/completions", body)->body;
  const std::vector<Json> progress = Progress(first);
  ASSERT_GE(progress.size(), 3);  // admitted, then steps of 64 tokens
  int64_t processed = 0;
  for (const Json& event : progress) {
    EXPECT_EQ(event["choices"][0]["text"], "");
    const Json& counts = event["prompt_progress"];
    EXPECT_EQ(counts["total"], 100);
    EXPECT_EQ(counts["cache"], 0);
    EXPECT_GE(counts["time_ms"], 0);
    EXPECT_GE(counts["processed"], processed);
    processed = counts["processed"];
  }
  EXPECT_EQ(progress[0]["prompt_progress"]["processed"], 0);
  EXPECT_EQ(processed, 100);
  EXPECT_LT(first.rfind("prompt_progress"), first.find("\"finish_reason\":\"length\""));
  // What is known is not run again.
  const std::vector<Json> known = Progress(served.Post("/v1/completions", body)->body);
  ASSERT_FALSE(known.empty());
  EXPECT_GT(known[0]["prompt_progress"]["cache"], 50);
  EXPECT_EQ(known[0]["prompt_progress"]["processed"], known[0]["prompt_progress"]["cache"]);
  body.erase("return_progress");
  EXPECT_TRUE(Progress(served.Post("/v1/completions", body)->body).empty());
}

TEST(ServerStream, TellsOfThePromptOfAChatAfterTheRole) {
  const Served served;
  const std::string body = served
                               .Post("/v1/chat/completions", {{"messages", UserSays("Hello")},
                                                              {"max_tokens", 2},
                                                              {"stream", true},
                                                              {"return_progress", true}})
                               ->body;
  EXPECT_LT(body.find("\"role\":\"assistant\""), body.find("prompt_progress"));
  for (const Json& event : Progress(body)) {
    EXPECT_EQ(event["object"], "chat.completion.chunk");
    EXPECT_EQ(event["choices"][0]["delta"], Json::object());
  }
}

TEST(ServerAnswers, WarnOfUnknownFields) {
  Served served;
  const auto result =
      served.Post("/v1/completions",
                  {{"prompt", "Once"}, {"max_tokens", 1}, {"tempperature", 1}, {"x\r\ny", 2}});
  EXPECT_EQ(result->status, 200);
  const std::string warning = "unknown fields: tempperature (did you mean 'temperature'?), x??y";
  EXPECT_EQ(result->get_header_value("X-Sluice-Warning"), warning);
  const auto stream = served.Post(
      "/v1/completions", {{"prompt", "Once"}, {"max_tokens", 1}, {"stream", true}, {"zzz", 1}});
  EXPECT_EQ(stream->get_header_value("X-Sluice-Warning"), "unknown fields: zzz");
  const auto known = served.Post("/tokenize", {{"content", "Once"}, {"model", "any"}});
  EXPECT_FALSE(known->has_header("X-Sluice-Warning"));
  EXPECT_THAT(served.End(), HasSubstr(absl::StrCat("\"warning\":\"", warning, "\"")));
}

TEST(ServerAnswers, RefuseUnknownFieldsIfTheyShall) {
  ApiOptions options;
  options.refuses_unknown_fields = true;
  const Served served(options);
  const auto refused = served.Post("/tokenize", {{"content", "Once"}, {"add_specal", true}});
  ExpectError(refused, 400, "add_specal (did you mean 'add_special'?)");
  EXPECT_EQ(Error(refused)["code"], "unknown_parameter");
  EXPECT_EQ(Error(refused)["param"], "add_specal");
  EXPECT_EQ(served.Post("/tokenize", {{"content", "Once"}})->status, 200);
}

TEST(ServerAnswers, NameWhatIsNotSupported) {
  const Served served;
  const auto refused = served.Post("/v1/completions", {{"prompt", "a"}, {"mirostat", 2}});
  ExpectError(refused, 400, "mirostat is 2, which is not supported");
  EXPECT_EQ(Error(refused)["code"], "unsupported_parameter");
}

TEST(ServerAnswers, SayThatTheContextIsTooShort) {
  const Served served;
  for (const bool stream : {false, true}) {
    const auto refused =
        served.Post("/v1/completions", {{"prompt", std::vector<int>(500, 5)}, {"stream", stream}});
    ExpectError(refused, 400, "maximum context length is 128 tokens, and your prompt has 500");
    EXPECT_EQ(Error(refused)["code"], "context_length_exceeded");
    EXPECT_EQ(Error(refused)["param"], "prompt");
  }
  std::string long_text;
  for (int i = 0; i < 200; ++i) long_text += "Once upon a time ";
  const auto chat = served.Post("/v1/chat/completions", {{"messages", UserSays(long_text)}});
  ExpectError(chat, 400, "maximum context length is 128 tokens, and your messages have ");
  EXPECT_EQ(Error(chat)["code"], "context_length_exceeded");
  EXPECT_EQ(Error(chat)["param"], "messages");
}

TEST(ServerAnswers, TellOfTheModel) {
  const Served served;
  const Json list = Json::parse(served.Get("/v1/models")->body);
  ASSERT_EQ(list["data"].size(), 1);
  const Json& model = list["data"][0];
  EXPECT_EQ(model["context_length"], kContext);
  EXPECT_EQ(model["max_model_len"], kContext);
  EXPECT_EQ(model["meta"]["n_ctx"], kContext);
  EXPECT_GT(model["meta"]["n_vocab"], 100);
  EXPECT_EQ(Json::parse(served.Get("/v1/models/stories")->body), model);
  EXPECT_EQ(Json::parse(served.Get("/models/sto%72ies")->body), model);
  for (const char* path : {"/v1/models/other", "/v1/models/stories/x", "/v1/models/a%2Fb"}) {
    const auto missing = served.Get(path);
    ExpectError(missing, 404, "expected 'stories'");
    EXPECT_EQ(Error(missing)["code"], "model_not_found");
  }
  ExpectError(served.Get("/v1/models/"), 404, "there is no /v1/models/");
}

TEST(ServerAnswers, KeepToBiasesAndStopTokens) {
  const Served served;
  const Json tokens = served.Ask("/tokenize", {{"content", " cat"}})["tokens"];
  const std::string cat = tokens.back().dump();
  Json body = {{"prompt", "Once"}, {"max_tokens", 3}, {"logit_bias", Json::object({{cat, 100}})}};
  const std::string word =
      served.Ask("/detokenize", {{"tokens", Json::array({tokens.back()})}})["content"];
  EXPECT_EQ(served.Ask("/v1/completions", body)["choices"][0]["text"],
            absl::StrCat(word, word, word));
  body["stop_token_ids"] = Json::array({tokens.back()});
  for (const bool ignores_end : {false, true}) {
    body["ignore_eos"] = ignores_end;
    const Json answer = served.Ask("/v1/completions", body);
    EXPECT_EQ(answer["choices"][0]["text"], "");
    EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  }
  for (const char* field : {"logit_bias", "stop_token_ids"}) {
    Json other = Json::object({{"prompt", "Once"}});
    other[field] = absl::StartsWith(field, "logit") ? Json::object({{"99999999", 1}})
                                                    : Json::array({99999999});
    ExpectError(served.Post("/v1/completions", other), 400,
                absl::StrCat(field, ": token id 99999999 is not in 0 to"));
  }
}

TEST(ServerAnswers, GoOnUntilTheContextIsFullIfTheyMay) {
  ApiOptions options;
  options.limits.max_tokens = 4;  // of requests that do not say
  const Served served(options);
  const Json body = {{"prompt", std::vector<int>(kContext - 20, 5)}, {"ignore_eos", true}};
  EXPECT_EQ(served.Ask("/v1/completions", body)["usage"]["completion_tokens"], 4);
  Json all = body;
  all["max_tokens"] = -1;
  EXPECT_GT(served.Ask("/v1/completions", all)["usage"]["completion_tokens"], 15);
}

}  // namespace
}  // namespace sluice::server
