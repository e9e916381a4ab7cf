// What clients under load are made of; servers are tested in server_test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "tools/load/bad_requests.h"
#include "tools/load/held_connections.h"
#include "tools/load/load_report.h"
#include "tools/load/soak.h"
#include "tools/load/sse_reader.h"
#include "tools/load/traffic.h"

namespace sluice::load {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> EventsOf(const std::vector<std::string>& pieces) {
  SseReader reader;
  std::vector<std::string> events;
  for (const std::string& piece : pieces) {
    EXPECT_TRUE(reader.Feed(piece, [&](absl::string_view data) {
      events.emplace_back(data);
      return true;
    }));
  }
  return events;
}

TEST(SseReader, ReadsEventsInPiecesOfAnySize) {
  const std::string stream =
      ": a comment\n\ndata: {\"a\":1}\r\n\r\nid: 7\ndata:one\ndata: two\n\ndata: [DONE]\n\ndata: "
      "cut";
  const auto expected = ElementsAre("{\"a\":1}", "one\ntwo", "[DONE]");
  EXPECT_THAT(EventsOf({stream}), expected);
  for (size_t size = 1; size < 9; ++size) {
    std::vector<std::string> pieces;
    for (size_t at = 0; at < stream.size(); at += size) pieces.push_back(stream.substr(at, size));
    EXPECT_THAT(EventsOf(pieces), expected) << "in pieces of " << size;
  }
}

TEST(SseReader, StopsWhereItIsToldTo) {
  SseReader reader;
  int events = 0;
  EXPECT_FALSE(reader.Feed("data: 1\n\ndata: 2\n\n", [&](absl::string_view) {
    ++events;
    return false;
  }));
  EXPECT_EQ(events, 1);
}

TEST(Percentiles, AreOfNearestRank) {
  std::vector<double> values(200);
  std::iota(values.rbegin(), values.rend(), 1);
  const Percentiles all = PercentilesOf(values);
  EXPECT_EQ(all.p50, 100);
  EXPECT_EQ(all.p95, 190);
  EXPECT_EQ(all.p99, 198);
  EXPECT_EQ(all.max, 200);
  EXPECT_EQ(PercentilesOf({3}).p50, 3);
  EXPECT_EQ(PercentilesOf({}).max, 0);
}

TEST(Traffic, PromptsShareTheirBeginningAndNothingElse) {
  const TrafficOptions options = {.prompt_tokens = 48, .shared_tokens = 32, .vocabulary = 500};
  const std::vector<int32_t> a = PromptOf(options, 0), b = PromptOf(options, 1);
  ASSERT_EQ(a.size(), 48u);
  EXPECT_EQ(PromptOf(options, 0), a);
  EXPECT_TRUE(std::equal(a.begin(), a.begin() + 32, b.begin()));
  EXPECT_FALSE(std::equal(a.begin() + 32, a.end(), b.begin() + 32));
  for (const int32_t token : a) EXPECT_TRUE(token >= 0 && token < 500) << token;
}

TEST(Traffic, ArrivalsHaveTheRateThatWasAskedFor) {
  const std::vector<double> arrivals = ArrivalsOf({.requests = 4000, .rate = 20});
  EXPECT_TRUE(std::is_sorted(arrivals.begin(), arrivals.end()));
  // The sum of n exponential gaps is off by 1/sqrt(n) of it, one standard deviation; four here.
  EXPECT_NEAR(arrivals.back(), 4000 / 20.0, 4 * 200 / std::sqrt(4000));
  for (const double arrival : ArrivalsOf({.requests = 3})) EXPECT_EQ(arrival, 0);
}

TimedCompletion Answer(double start, double first, std::vector<double> gaps) {
  Completion completion = {.http_code = 200, .first = first, .total = first, .gaps = gaps};
  for (const double gap : gaps) completion.total += gap;
  completion.prompt_tokens = 10;
  completion.tokens = static_cast<int64_t>(gaps.size()) + 1;
  return {.start = start, .completion = completion};
}

TEST(LoadReport, SumsUpWhatClientsSaw) {
  std::vector<TimedCompletion> completions = {Answer(0, 0.5, {0.1, 0.3}), Answer(1, 2.0, {0.1}),
                                              Answer(2, 0.1, {})};
  completions.push_back(
      {.start = 0, .completion = {.status = absl::UnknownError("HTTP 503: full")}});
  const ServiceLevel level = {.first_seconds = 1, .gap_seconds = 0.25};
  const LoadSummary summary = Summarise(completions, level);
  EXPECT_EQ(summary.requests, 4);
  EXPECT_EQ(summary.failed, 1);
  EXPECT_DOUBLE_EQ(summary.seconds, 3.1);
  EXPECT_EQ(summary.tokens, 6);
  EXPECT_EQ(summary.prompt_tokens, 30);
  EXPECT_DOUBLE_EQ(summary.first.p50, 0.5);
  EXPECT_DOUBLE_EQ(summary.gap.max, 0.3);
  EXPECT_DOUBLE_EQ(summary.good_per_second, 2 / 3.1);
  EXPECT_THAT(SummaryText(summary, level), HasSubstr("failed 1 times: HTTP 503: full"));
  const auto json = nlohmann::json::parse(SummaryJson(summary, level));
  EXPECT_DOUBLE_EQ(json["first_text_ms"]["p50"], 500);
  EXPECT_DOUBLE_EQ(json["tokens_per_second"], 6 / 3.1);
}

TEST(LoadReport, OfNothingIsNothing) {
  const LoadSummary summary = Summarise({}, {});
  EXPECT_EQ(summary.tokens_per_second(), 0);
  EXPECT_THAT(SummaryText(summary, {}), HasSubstr("0 requests"));
}

TEST(Clients, SayThatThereIsNoServer) {
  // Port 1 is nobody's.
  const Endpoint endpoint = {.url = "http://127.0.0.1:1"};
  const auto traffic = RunTraffic(endpoint, {.requests = 2, .clients = 2});
  ASSERT_EQ(traffic.size(), 2u);
  for (const TimedCompletion& each : traffic) {
    EXPECT_EQ(each.completion.status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(each.completion.status.message()), HasSubstr("127.0.0.1:1"));
  }
  EXPECT_EQ(Soak(endpoint, {}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(SendHalfARequest(endpoint.url));
}

TEST(HeldConnections, SayNothingOrHalfAndComeAgain) {
  const int listening = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in place = {};
  place.sin_family = AF_INET;
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof place;
  ASSERT_EQ(bind(listening, reinterpret_cast<sockaddr*>(&place), size), 0);
  ASSERT_EQ(listen(listening, 16), 0);
  getsockname(listening, reinterpret_cast<sockaddr*>(&place), &size);
  HeldConnections held(absl::StrCat("http://127.0.0.1:", ntohs(place.sin_port)));
  ASSERT_EQ(held.Open(5), absl::OkStatus());
  std::vector<int> accepted;
  for (int i = 0; i < 5; ++i) accepted.push_back(accept(listening, nullptr, nullptr));
  EXPECT_EQ(held.Renew(), absl::OkStatus());
  EXPECT_EQ(held.renewed(), 0);
  char bytes[100] = {};
  EXPECT_EQ(recv(accepted[0], bytes, sizeof bytes, MSG_DONTWAIT), -1);
  EXPECT_GT(recv(accepted[4], bytes, sizeof bytes, 0), 20);
  EXPECT_THAT(bytes, testing::AllOf(HasSubstr("GET "), testing::Not(HasSubstr("\r\n\r\n"))));
  close(accepted[4]);
  while (held.renewed() == 0) ASSERT_EQ(held.Renew(), absl::OkStatus());
  accepted[4] = accept(listening, nullptr, nullptr);
  EXPECT_GT(recv(accepted[4], bytes, sizeof bytes, 0), 20);
  for (const int each : accepted) close(each);
  close(listening);
  EXPECT_EQ(held.Open(1).code(), absl::StatusCode::kUnavailable);
}

TEST(SoakReport, IsFineOnlyWithoutSurprisesLeftoversAndGrowth) {
  EXPECT_TRUE(SoakReport{}.ok());
  EXPECT_FALSE((SoakReport{.surprises = {{"no prompt: code 200, expected 400", 1}}}.ok()));
  EXPECT_FALSE(SoakReport{.leftover = "1 running"}.ok());
  EXPECT_FALSE(SoakReport{.has_grown = true}.ok());
  EXPECT_THAT(SoakText({.leftover = "2 blocks"}), HasSubstr("left over: 2 blocks"));
}

}  // namespace
}  // namespace sluice::load
