// The server among clients that mean no good, are too many, or leave; and its end.
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/support/sanitized.h"
#include "tests/support/served.h"

namespace sluice::server {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(ServerLife, ListensBeforeItHasAModel) {
  Served served({}, /*has_model=*/false);
  const auto health = served.Get("/health");
  EXPECT_EQ(health->status, 503);
  EXPECT_EQ(Json::parse(health->body), Json({{"status", "loading model"}}));
  const auto refused = served.Post("/v1/completions", {{"prompt", "a"}});
  ExpectError(refused, 503, "being loaded");
  EXPECT_TRUE(refused->has_header("Retry-After"));
  EXPECT_EQ(served.Get("/metrics")->status, 200);
  served.SetModel();
  EXPECT_EQ(Json::parse(served.Get("/health")->body), Json({{"status", "ok"}}));
  EXPECT_EQ(served.Post("/v1/completions", {{"prompt", "a"}, {"max_tokens", 1}})->status, 200);
}

TEST(ServerLife, AsksForAKeyEverywhereButForItsHealth) {
  ApiOptions options;
  options.http.api_keys = {"secret"};
  const Served served(options, /*has_model=*/false);
  EXPECT_EQ(served.Get("/health")->status, 503);
  ExpectError(served.Get("/v1/models"), 401, "API key");
  ExpectError(served.Get("/nonesuch"), 401, "API key");
  ExpectError(served.Post("/v1/completions", {{"prompt", "a"}}), 401, "API key");
  const auto allowed = served.Client().Get("/state", {{"Authorization", "Bearer secret"}});
  EXPECT_EQ(allowed->status, 200);
}

TEST(ServerLife, BoundsBodies) {
  ApiOptions options;
  options.http.most_body_bytes = 1000;
  const Served served(options, /*has_model=*/false);
  const std::string large(1001, ' ');
  ExpectError(served.Client().Post("/tokenize", large, "application/json"), 413, "1001 bytes");
  // In pieces, without a length.
  const auto chunked = served.Client().Post(
      "/tokenize",
      [&](size_t, httplib::DataSink& sink) {
        for (int i = 0; i < 3; ++i) sink.write(large.data(), 500);
        sink.done();
        return true;
      },
      "application/json");
  ExpectError(chunked, 413, "expected 1000 bytes");
}

TEST(ServerLife, AClientThatGoesAwayFreesItsPlace) {
  Served served;
  for (const bool stream : {true, false}) {
    {
      Wire wire(served.server().port());
      wire.SayRequest(Long(stream));
      if (stream) {
        EXPECT_THAT(wire.Hear(1), HasSubstr("200 OK"));
      }
    }
    served.AwaitNoPlacesTaken();
  }
  served.Await([](const Json& state) { return state["engine"]["running"] == 0; });
}

TEST(ServerLife, ManyDisconnectsLeaveNothingBehind) {
  Served served;
  for (int i = 0; i < (kSanitized ? 200 : 1000); ++i) {
    Wire wire(served.server().port());
    wire.SayRequest(Long(true));
    if (i % 2 == 0) wire.Hear(1);
  }
  served.AwaitNoPlacesTaken();
  served.Await([](const Json& state) {
    const Json& cache = state["engine"]["cache"];
    return state["engine"]["running"] == 0 && cache["free"] == cache["blocks"];
  });
}

TEST(ServerLife, SaysWhenTheQueueIsFull) {
  ApiOptions options;
  options.waiting = 0;
  Served served(options);
  Json two = Long(true);
  two["n"] = 2;
  // A stream, too, has a status of its own for what is known at once.
  const auto ask_beside = [&] {
    Wire first(served.server().port());
    first.SayRequest(two);
    first.Hear(1);
    return served.Post("/v1/completions", {{"prompt", "a"}, {"stream", true}});
  };
  httplib::Result refused = ask_beside();
  // The first may be done before the second comes.
  for (int i = 0; i < 100 && refused->status == 200; ++i) refused = ask_beside();
  ExpectError(refused, 429, "the queue is full");
  EXPECT_EQ(refused->get_header_value("Retry-After"), "1");
  ExpectError(served.Post("/v1/completions", {{"prompt", "a"}, {"n", 3}}), 400, "n is 3");
}

TEST(ServerLife, TakesNoLongerThanItsTimeout) {
  ApiOptions options;
  options.limits.timeout = milliseconds(1);
  const Served served(options);
  ExpectError(served.Post("/v1/completions", Long(false)), 504, "not finished after");
  served.AwaitNoPlacesTaken();
}

TEST(ServerLife, DropsClientsThatDoNotRead) {
  ApiOptions options;
  options.limits.buffered_bytes = 1;
  const Served served(options);
  // Every event is too much: the request ends instead of waiting for a reader.
  ExpectError(served.Post("/v1/completions", Long(false)), 429, "too slowly");
  served.AwaitNoPlacesTaken();
}

TEST(ServerLife, EndsAnswersBeforeItself) {
  Served served;
  std::string body;
  std::thread client([&] {
    Json request = Long(true);
    request["max_tokens"] = 40;
    body = served.Post("/v1/completions", request)->body;
  });
  served.Await([](const Json& state) {
    return state["engine"]["running"] == 1 || state["requests"]["completion_tokens"] > 0;
  });
  served.server().Shutdown(std::chrono::seconds(60));
  client.join();
  EXPECT_THAT(body, AllOf(HasSubstr("finish_reason\":\"length"), HasSubstr("[DONE]")));
}

TEST(ServerLife, CancelsAnswersThatTakeTooLongToEnd) {
  Served served;
  Wire wire(served.server().port());
  wire.SayRequest(Long(true));
  wire.Hear(1);
  served.server().Shutdown(milliseconds(0));
  wire.Hear();  // the connection is closed
}

}  // namespace
}  // namespace sluice::server
