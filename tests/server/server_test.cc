// What the server's routes answer, over sockets, with the embedded model.
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "tests/support/served.h"

namespace sluice::server {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::vector<Json> Events(const std::string& body) {
  std::vector<Json> events;
  std::vector<std::string> parts = absl::StrSplit(body, "\n\n");
  EXPECT_EQ(parts.back(), "");
  parts.pop_back();
  EXPECT_EQ(parts.back(), "data: [DONE]");
  parts.pop_back();
  for (const std::string& part : parts) {
    if (absl::StartsWith(part, ":")) continue;  // a comment
    EXPECT_TRUE(absl::StartsWith(part, "data: ")) << part;
    events.push_back(Json::parse(part.substr(6)));
  }
  return events;
}

Json UserSays(const std::string& text) {
  return Json::array({{{"role", "user"}, {"content", text}}});
}

TEST(Server, CompletesPrompts) {
  const Served served;
  const Json answer =
      served.Ask("/v1/completions", {{"prompt", "Once upon a time"}, {"max_tokens", 8}});
  EXPECT_EQ(answer["object"], "text_completion");
  EXPECT_EQ(answer["model"], "stories");
  EXPECT_THAT(answer["id"].get<std::string>(), HasSubstr("cmpl-"));
  ASSERT_EQ(answer["choices"].size(), 1);
  const Json& choice = answer["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_TRUE(choice["logprobs"].is_null());
  EXPECT_FALSE(choice["text"].get<std::string>().empty());
  const Json& usage = answer["usage"];
  EXPECT_EQ(usage["completion_tokens"], 8);
  EXPECT_EQ(usage["total_tokens"], usage["prompt_tokens"].get<int>() + 8);

  // The same by its tokens, with what stands in front, and without /v1.
  const Json tokens =
      served.Ask("/tokenize", {{"content", "Once upon a time"}, {"add_special", true}});
  const Json echo =
      served.Ask("/completions", {{"prompt", tokens["tokens"]}, {"max_tokens", 8}, {"echo", true}});
  EXPECT_THAT(echo["choices"][0]["text"].get<std::string>(),
              AllOf(HasSubstr("Once upon a time"), HasSubstr(choice["text"].get<std::string>())));
}

TEST(Server, FindsWhatItHasRunBefore) {
  const Served served;
  const Json body = {{"prompt", std::vector<int>(40, 5)}, {"max_tokens", 1}};
  EXPECT_EQ(served.Ask("/v1/completions", body)["usage"]["prompt_tokens_details"]["cached_tokens"],
            0);
  EXPECT_GT(served.Ask("/v1/completions", body)["usage"]["prompt_tokens_details"]["cached_tokens"],
            15);
  // The thread tells of a step once it is over, answers go out before.
  served.Await(
      [](const Json& state) { return state["engine"]["prefix_cache"]["saved_tokens"] > 15; });
}

TEST(Server, SeveralPromptsWithSeveralAnswersEach) {
  ApiOptions options;
  options.running = 4;
  const Served served(options);
  const Json answer = served.Ask("/v1/completions", {{"prompt", {"Once", "The dog"}},
                                                     {"n", 3},
                                                     {"temperature", 1},
                                                     {"seed", 5},
                                                     {"max_tokens", 12}});
  ASSERT_EQ(answer["choices"].size(), 6);
  std::set<std::string> texts;
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(answer["choices"][i]["index"], i);
    texts.insert(answer["choices"][i]["text"].get<std::string>());
  }
  EXPECT_GT(texts.size(), 2);  // they are not all the same
  EXPECT_LE(answer["usage"]["completion_tokens"], 72);
}

TEST(Server, Chats) {
  const Served served;
  const Json answer =
      served.Ask("/v1/chat/completions", {{"messages", UserSays("Hello")}, {"max_tokens", 6}});
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["choices"][0]["message"]["role"], "assistant");
  EXPECT_FALSE(answer["choices"][0]["message"]["content"].get<std::string>().empty());
}

TEST(Server, StreamsAsOpenAiDoes) {
  const Served served;
  Json body = {{"messages", UserSays("Hello")}, {"max_tokens", 6}};
  const std::string whole =
      served.Ask("/v1/chat/completions", body)["choices"][0]["message"]["content"];
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  const auto result = served.Post("/v1/chat/completions", body);
  EXPECT_EQ(result->get_header_value("Content-Type"), "text/event-stream");
  const std::vector<Json> events = Events(result->body);
  ASSERT_GE(events.size(), 4);
  EXPECT_EQ(events[0]["choices"][0]["delta"], Json({{"role", "assistant"}, {"content", ""}}));
  std::string text;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i]["id"], events[0]["id"]);
    EXPECT_EQ(events[i]["created"], events[0]["created"]);
    EXPECT_EQ(events[i]["object"], "chat.completion.chunk");
    if (i == 0 || i + 2 >= events.size()) continue;
    const Json& choice = events[i]["choices"][0];
    text += choice["delta"]["content"].get<std::string>();
    EXPECT_TRUE(choice["finish_reason"].is_null());
    EXPECT_TRUE(events[i]["usage"].is_null());
  }
  EXPECT_EQ(text, whole);
  const Json& last = events[events.size() - 2]["choices"][0];
  EXPECT_EQ(last["delta"], Json::object());
  EXPECT_EQ(last["finish_reason"], "length");
  EXPECT_TRUE(events.back()["choices"].empty());
  EXPECT_EQ(events.back()["usage"]["completion_tokens"], 6);
}

TEST(Server, StreamsCompletionsOfSeveralPrompts) {
  const Served served;
  Json body = {{"prompt", {"Once upon", "The dog"}}, {"max_tokens", 6}, {"echo", true}};
  const Json whole = served.Ask("/v1/completions", body);
  body["stream"] = true;
  std::map<int, std::string> texts, reasons;
  for (const Json& event : Events(served.Post("/v1/completions", body)->body)) {
    EXPECT_EQ(event["object"], "text_completion");
    EXPECT_FALSE(event.contains("usage"));
    const Json& choice = event["choices"][0];
    texts[choice["index"]] += choice["text"].get<std::string>();
    if (!choice["finish_reason"].is_null()) reasons[choice["index"]] = choice["finish_reason"];
  }
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(texts[i], whole["choices"][i]["text"]);
    EXPECT_EQ(reasons[i], "length");
  }
}

TEST(Server, StopsInFrontOfAStopString) {
  const Served served;
  const std::string text =
      served.Ask("/v1/completions",
                 {{"prompt", "Once upon a time"}, {"max_tokens", 24}})["choices"][0]["text"];
  ASSERT_GT(text.size(), 20);
  const std::string stop = text.substr(9, 7);  // across tokens
  const Json body = {
      {"prompt", "Once upon a time"}, {"max_tokens", 24}, {"stop", {"nonesuch", stop}}};
  const Json answer = served.Ask("/v1/completions", body);
  EXPECT_EQ(answer["choices"][0]["text"], text.substr(0, text.find(stop)));
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  EXPECT_LT(answer["usage"]["completion_tokens"], 24);
  Json streamed = body;
  streamed["stream"] = true;
  EXPECT_THAT(served.Post("/v1/completions", streamed)->body, Not(HasSubstr("\"length\"")));
}

TEST(Server, GivesLogprobs) {
  const Served served;
  const Json completion = served.Ask(
      "/v1/completions", {{"prompt", "Once upon a time"}, {"max_tokens", 5}, {"logprobs", 2}});
  const Json& logprobs = completion["choices"][0]["logprobs"];
  ASSERT_EQ(logprobs["tokens"].size(), 5);
  std::string joined;
  for (size_t i = 0; i < 5; ++i) {
    const std::string token = logprobs["tokens"][i];
    EXPECT_EQ(logprobs["text_offset"][i], joined.size());
    joined += token;
    // At temperature 0 it is the likeliest of those that are told.
    EXPECT_EQ(logprobs["top_logprobs"][i].size(), 2);
    EXPECT_EQ(logprobs["top_logprobs"][i][token], logprobs["token_logprobs"][i]);
    EXPECT_LE(logprobs["token_logprobs"][i], 0);
  }
  EXPECT_EQ(joined, completion["choices"][0]["text"]);

  const Json chat = served.Ask("/v1/chat/completions", {{"messages", UserSays("Hello")},
                                                        {"max_tokens", 3},
                                                        {"logprobs", true},
                                                        {"top_logprobs", 1}});
  const Json& content = chat["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 3);
  EXPECT_EQ(content[0]["top_logprobs"][0]["token"], content[0]["token"]);
  EXPECT_EQ(content[0]["bytes"].size(), content[0]["token"].get<std::string>().size());
}

TEST(Server, EndsWithTheContext) {
  const Served served;
  const Json answer = served.Ask(
      "/v1/completions", {{"prompt", std::vector<int>(kContext - 2, 5)}, {"max_tokens", 50}});
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  EXPECT_LE(answer["usage"]["total_tokens"], kContext + 1);
  ExpectError(served.Post("/v1/completions", {{"prompt", std::vector<int>(kContext, 5)}}), 400,
              "the maximum context length is 128 tokens, and your prompt has 128 tokens");
}

TEST(Server, RefusesWhatCannotBeRun) {
  const Served served;
  const auto empty = served.Post("/v1/completions", {{"prompt", Json::array({Json::array()})}});
  ExpectError(empty, 400, "the prompt is empty");
  EXPECT_EQ(Error(empty)["param"], "prompt");
  ExpectError(served.Post("/v1/completions", {{"prompt", {99999999}}}), 400, "token id 99999999");
  ExpectError(served.Post("/v1/completions", {{"prompt", "a"}, {"top_p", 7}}), 400, "top_p is 7");
  ExpectError(served.Post("/v1/embeddings", {{"input", "a"}}), 400, "is a decoder");
  ExpectError(served.Post("/detokenize", {{"tokens", {99999999}}}), 400, "token id 99999999");
  ExpectError(served.Get("/nonesuch"), 404, "there is no /nonesuch");
  ExpectError(served.Get("/v1/completions"), 405, "does not take GET");
  ExpectError(served.Client().Post("/tokenize", "{", "application/json"), 400, "no JSON");
}

TEST(Server, TokenizesAndBack) {
  const Served served;
  const Json tokens = served.Ask("/tokenize", {{"content", "Once upon a time"}});
  EXPECT_EQ(served.Ask("/detokenize", tokens)["content"], "Once upon a time");
  const Json models = Json::parse(served.Get("/v1/models")->body);
  EXPECT_EQ(models["data"][0]["id"], "stories");
}

TEST(Server, ParallelAnswersAreThoseThatEachGivesAlone) {
  ApiOptions options;
  options.running = 4;
  const Served served(options);
  const std::vector<std::string> prompts = {
      "Once upon a time", "The dog",        "In the garden there was", "A",
      "Lily and Tom",     "Once upon a day"};
  const auto ask = [&](const std::string& prompt) -> std::string {
    return served.Ask("/v1/completions",
                      {{"prompt", prompt}, {"max_tokens", 24}})["choices"][0]["text"];
  };
  std::vector<std::string> alone(prompts.size()), together(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) alone[i] = ask(prompts[i]);
  std::vector<std::thread> clients;
  for (size_t i = 0; i < prompts.size(); ++i) {
    clients.emplace_back([&, i] { together[i] = ask(prompts[i]); });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(together, alone);
}

TEST(Server, LogsALineForEachRequest) {
  Served served;
  served.Ask("/v1/completions", {{"prompt", "Once"}, {"max_tokens", 2}});
  served.Get("/nonesuch");
  const std::vector<std::string> lines = absl::StrSplit(served.End(), '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 2);
  std::map<std::string, Json> records;  // two connections: any of them may be the first
  for (const std::string& line : lines) {
    const Json record = Json::parse(line);
    records[record["route"]] = record;
  }
  const Json& done = records["/v1/completions"];
  EXPECT_EQ(done["status"], 200);
  EXPECT_EQ(done["tokens"], 2);
  EXPECT_EQ(done["outcome"], "length");
  EXPECT_GE(done["ms_total"], done["ms_first"]);
  EXPECT_EQ(records[""]["status"], 404);
  EXPECT_EQ(records[""]["outcome"], "there is no /nonesuch");
}

TEST(Server, MetricsTellOfTheModel) {
  const Served served;
  served.Ask("/v1/completions", {{"prompt", "Once"}, {"max_tokens", 3}});
  served.Await([](const Json& state) { return state["engine"]["counters"]["generated"] == 3; });
  EXPECT_THAT(served.Get("/metrics")->body,
              AllOf(HasSubstr("sluice_generated_tokens_total 3\n"),
                    HasSubstr("sluice_requests_total{route=\"/v1/completions\",status=\"200\"} 1"),
                    HasSubstr("sluice_first_token_seconds_count 1")));
}

TEST(Server, EmbedsTexts) {
  Served served({}, /*has_model=*/false);
  served.SetEncoder();
  const Json two = served.Ask("/v1/embeddings", {{"input", {"a", "hello world"}}});
  ASSERT_EQ(two["data"].size(), 2);
  const Json one = served.Ask("/v1/embeddings", {{"input", "hello world"}});
  EXPECT_EQ(one["data"][0]["embedding"], two["data"][1]["embedding"]);
  double squares = 0;
  for (const Json& x : one["data"][0]["embedding"]) squares += x.get<double>() * x.get<double>();
  EXPECT_NEAR(squares, 1, 1e-5);  // floats, rounded one by one
  ExpectError(served.Post("/v1/embeddings", {{"input", "a"}, {"dimensions", 7}}), 400,
              "dimensions");
  ExpectError(served.Post("/v1/embeddings", {{"input", std::vector<int>(41, 5)}}), 400,
              "input[0] has 41 tokens, expected 1 to 40");
  ExpectError(served.Post("/v1/completions", {{"prompt", "a"}}), 400, "is an encoder");
}

}  // namespace
}  // namespace sluice::server
