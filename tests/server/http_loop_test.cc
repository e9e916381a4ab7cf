// Connections that wait, are slow, are many, or leave: they cost neither threads nor patience of
// others. `server_tests --only=server/http_loop_test.cc` prints what a connection costs.
#include <gmock/gmock.h>
#include <ifaddrs.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/http_served.h"
#include "tests/support/sanitized.h"

namespace sluice::server {
namespace {

using std::chrono::milliseconds;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Clock = std::chrono::steady_clock;

constexpr absl::string_view kAsk = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
constexpr absl::string_view kHalfAHead = "GET /health HTTP/1.1\r\nHost: local";
constexpr absl::string_view kHalfABody =
    "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    "Content-Length: 10\r\n\r\n{";

std::string Post(absl::string_view path) {
  return absl::StrCat("POST ", path,
                      " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                      "Content-Length: 0\r\n\r\n");
}

double MillisecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

bool IsHealthy(int port) {
  Wire wire(port);
  wire.Say(kAsk);
  return absl::StrContains(wire.HearUntil("ok"), " 200 OK");
}

// A line of /proc/self/status: "Threads", "VmRSS" (KiB).
int64_t StatusLine(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t value = 0;
    if (word == name + ":" && status >> value) return value;
  }
  ADD_FAILURE() << "there is no " << name;
  return 0;
}

TEST(HttpLoop, GivesClientsTheirTimeAndNoMore) {
  HttpOptions options;
  options.idle_timeout = milliseconds(200);
  options.head_timeout = milliseconds(300);
  options.body_timeout = milliseconds(400);
  HttpServed served(options);
  struct Case {
    absl::string_view bytes;
    std::string answer;  // "": the connection ends without
    double least;
  };
  for (const Case& slow : std::vector<Case>{{"", "", 200},
                                            {"\r\n", "", 200},
                                            {kHalfAHead, "408 Request Timeout", 300},
                                            {kHalfABody, "408 Request Timeout", 400}}) {
    SCOPED_TRACE(slow.bytes);
    Wire wire(served.port());
    const auto begin = Clock::now();
    wire.Say(slow.bytes);
    const std::string heard = wire.Hear();
    EXPECT_GE(MillisecondsSince(begin), slow.least - 1);
    if (slow.answer.empty()) {
      EXPECT_EQ(heard, "");
    } else {
      EXPECT_THAT(heard, HasSubstr(slow.answer));
    }
  }
  // The same after a request; and a byte now and then does not prolong a head.
  Wire wire(served.port());
  wire.Say(kAsk);
  EXPECT_THAT(RepliesIn(wire.Hear()), SizeIs(1));
  Wire dripping(served.port());
  for (const char c : kHalfAHead) {
    dripping.Try({&c, 1});
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_THAT(dripping.Hear(), HasSubstr("408"));
}

TEST(HttpLoop, SaysWhatIsMissingWhenAClientEndsEarly) {
  HttpServed served;
  for (const absl::string_view half : {kHalfAHead, kHalfABody}) {
    Wire wire(served.port());
    wire.Say(half);
    shutdown(wire.fd(), SHUT_WR);
    EXPECT_THAT(wire.Hear(), HasSubstr("is not complete"));
  }
}

// With the limits of files that systems have, clients and server in one process.
TEST(HttpLoop, ThousandsThatWaitCostNoThreadAndLittleMemory) {
  rlimit files = {};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 16384);
  setrlimit(RLIMIT_NOFILE, &files);
  const size_t most = (static_cast<size_t>(files.rlim_cur) - 200) / 2;
  const size_t idle = std::min<size_t>(kSanitized ? 200 : 2000, most * 4 / 5);
  const size_t half = idle / 4;
  HttpServed served;
  ASSERT_TRUE(IsHealthy(served.port()));
  const int64_t threads = StatusLine("Threads"), memory = StatusLine("VmRSS");
  std::vector<Wire> wires;
  for (size_t i = 0; i < idle; ++i) {
    wires.emplace_back(served.port());
    if (i % 2 == 0) continue;
    wires.back().Say(kAsk);
    ASSERT_THAT(wires.back().HearUntil("ok"), HasSubstr("200"));
  }
  for (size_t i = 0; i < half; ++i) {
    wires.emplace_back(served.port());
    wires.back().Say(i % 2 == 0 ? kHalfAHead : kHalfABody);
  }
  std::vector<double> times;
  for (int i = 0; i < 100; ++i) {
    const auto begin = Clock::now();
    EXPECT_TRUE(IsHealthy(served.port()));
    times.push_back(MillisecondsSince(begin));
  }
  std::sort(times.begin(), times.end());
  const double each =
      static_cast<double>(StatusLine("VmRSS") - memory) / static_cast<double>(wires.size());
  std::cout << absl::StrFormat(
      "%d idle, %d half-sent: /health p50 %.2f ms, p95 %.2f ms, %.2f KiB a connection\n", idle,
      half, times[50], times[95], each);
  EXPECT_EQ(StatusLine("Threads"), threads);
  if (!kSanitized) {
    EXPECT_LT(times[95], 50);
    EXPECT_LT(each, 4);
  }
  // None of them was closed meanwhile.
  for (size_t i = 0; i < idle; i += 100) {
    wires[i].Say(kAsk);
    EXPECT_THAT(wires[i].HearUntil("ok"), HasSubstr("200"));
  }
}

// A reply that its client does not take, and calls that take all threads.
TEST(HttpLoop, OthersAreAnsweredMeanwhile) {
  std::atomic<bool> may_end = false;
  std::atomic<int> waiting = 0;
  std::vector<Route> routes = {
      {"POST", "/large", [](HttpCall&) { return HttpReply{.body = std::string(8 << 20, 'x')}; }},
      {"POST", "/wait", [&](HttpCall& call) {
         ++waiting;
         while (!may_end && !call.IsClientGone()) std::this_thread::sleep_for(milliseconds(1));
         return HttpReply{.body = "waited"};
       }}};
  HttpOptions options;
  options.threads = 2;
  HttpServed served(options, std::move(routes));
  std::vector<Wire> slow;
  for (int i = 0; i < 6; ++i) {
    slow.emplace_back(served.port());
    slow.back().Say(Post("/large"));
    slow.back().Hear(1);
  }
  Wire quick(served.port());
  quick.Say(Post("/stream"));
  EXPECT_THAT(quick.HearUntil("0\r\n\r\n"), HasSubstr("two"));
  std::vector<Wire> busy;
  for (int i = 0; i < 4; ++i) {
    busy.emplace_back(served.port());
    busy.back().Say(Post("/wait"));
  }
  while (waiting < 2) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_TRUE(IsHealthy(served.port()));
  may_end = true;
  for (Wire& wire : busy) EXPECT_THAT(wire.HearUntil("waited"), HasSubstr("200"));
  // Nothing of the large ones is lost.
  slow[0].Say(absl::StrCat("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
  const std::string rest = slow[0].Hear();
  EXPECT_EQ(std::count(rest.begin(), rest.end(), 'x') > (7 << 20), true);
  EXPECT_THAT(rest.substr(rest.size() - 2), "ok");
}

TEST(HttpLoop, ClientsThatLeaveAreNoticed) {
  std::atomic<int> gone = 0;
  std::vector<Route> routes = {{"POST", "/wait", [&](HttpCall& call) {
                                  while (!call.IsClientGone()) {
                                    std::this_thread::sleep_for(milliseconds(1));
                                  }
                                  ++gone;
                                  return HttpReply{};
                                }}};
  HttpServed served({}, std::move(routes));
  // Also where another request has come, which nobody reads.
  for (const absl::string_view more : {absl::string_view(), kAsk}) {
    Wire wire(served.port());
    wire.Say(Post("/wait"));
    wire.Say(more);
  }
  while (gone < 2) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_TRUE(IsHealthy(served.port()));
}

TEST(HttpLoop, MakesRoomByClosingTheIdle) {
  HttpOptions options;
  options.connections = 4;
  HttpServed served(options);
  std::vector<Wire> idle;
  for (int i = 0; i < 4; ++i) {
    idle.emplace_back(served.port());
    idle.back().Say(kAsk);
    idle.back().HearUntil("ok");
  }
  EXPECT_TRUE(IsHealthy(served.port()));
  EXPECT_EQ(idle[0].Hear(), "");  // the first of them
  // Those that have begun a request are no such room.
  std::vector<Wire> half;
  for (int i = 0; i < 4; ++i) {
    half.emplace_back(served.port());
    half.back().Say(kHalfAHead);
    // It is read before the next one comes.
    half.back().Say("host\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    EXPECT_THAT(half.back().HearUntil("\r\n\r\n"), HasSubstr("100 Continue"));
  }
  Wire one_more(served.port());
  EXPECT_THAT(one_more.Hear(), HasSubstr("503 Service Unavailable"));
  half[0].Say("x");
  EXPECT_THAT(half[0].HearUntil("ok"), HasSubstr("200"));
}

TEST(HttpLoop, BodiesTogetherAreBounded) {
  HttpOptions options;
  options.most_held_bytes = 1500;
  HttpServed served(options);
  const std::string head =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n";
  const auto begin = [&](Wire* wire) {
    wire->Say(head);
    EXPECT_THAT(wire->HearUntil("\r\n\r\n"), HasSubstr("100 Continue"));
    wire->Say(std::string(900, 'x'));
  };
  {
    Wire first(served.port()), second(served.port());
    begin(&first);
    EXPECT_TRUE(IsHealthy(served.port()));  // it has read the first by now
    begin(&second);
    EXPECT_THAT(second.Hear(), HasSubstr("503 Service Unavailable"));
    first.Say(std::string(100, 'x'));
    EXPECT_THAT(first.HearUntil(std::string(1000, 'x')), HasSubstr("200 OK"));
  }
  // What was answered, refused or broken off counts no more, a moment later.
  int served_ones = 0;
  for (int i = 0; i < 1000 && served_ones < 3; ++i) {
    Wire wire(served.port());
    begin(&wire);
    wire.Try(std::string(100, 'x'));
    if (absl::StrContains(wire.HearUntil("\r\n"), "200 OK")) ++served_ones;
  }
  EXPECT_EQ(served_ones, 3);
}

// An address of this machine that others reach, too; "" if there is none.
std::string OwnAddress() {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return "";
  std::string found;
  for (const ifaddrs* one = all; one != nullptr && found.empty(); one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    char text[INET_ADDRSTRLEN] = "";
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr, text,
              sizeof text);
    if (!absl::StartsWith(text, "127.")) found = text;
  }
  freeifaddrs(all);
  return found;
}

TEST(HttpLoop, OneFarAddressHasNotAllOfIt) {
  const std::string address = OwnAddress();
  if (address.empty()) GTEST_SKIP() << "this machine has no address but its own";
  HttpOptions options;
  options.host = "0.0.0.0";
  options.connections_per_address = 3;
  HttpServed served(options);
  std::vector<Wire> wires;
  const auto ask = [&]() {
    wires.emplace_back(served.port(), address);
    wires.back().Try(kAsk);
    return wires.back().HearUntil("}");  // the end of an error
  };
  for (int i = 0; i < 3; ++i) {
    wires.emplace_back(served.port(), address);
    wires.back().Say(kAsk);
    EXPECT_THAT(wires.back().HearUntil("ok"), HasSubstr("200"));
  }
  EXPECT_THAT(ask(), HasSubstr("503"));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(IsHealthy(served.port()));
  wires.clear();
  // They are gone a moment later.
  bool is_served = false;
  for (int i = 0; i < 1000 && !is_served; ++i) {
    Wire wire(served.port(), address);
    wire.Try(kAsk);
    is_served = absl::StrContains(wire.HearUntil("\r\n"), "200");
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_TRUE(is_served);
}

TEST(HttpLoop, EndsWithWhatItHasRead) {
  std::atomic<bool> may_end = false, is_waiting = false;
  std::vector<Route> routes = {{"POST", "/wait", [&](HttpCall&) {
                                  is_waiting = true;
                                  while (!may_end) std::this_thread::sleep_for(milliseconds(1));
                                  return HttpReply{.body = "waited"};
                                }}};
  HttpServed served({}, std::move(routes));
  Wire idle(served.port()), half(served.port()), busy(served.port());
  half.Say(kHalfAHead);
  busy.Say(Post("/wait"));
  busy.Say(kAsk);  // too late
  while (!is_waiting) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_FALSE(served.server().AwaitNoCalls(milliseconds(1)));
  served.server().Stop();
  EXPECT_EQ(idle.Hear(), "");
  EXPECT_EQ(half.Hear(), "");
  EXPECT_FALSE(served.server().AwaitNoCalls(milliseconds(1)));
  may_end = true;
  EXPECT_TRUE(served.server().AwaitNoCalls(std::chrono::seconds(30)));
  const std::vector<WireReply> replies = RepliesIn(busy.Hear());
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(replies[0].body, "waited");
  EXPECT_THAT(replies[0].head, HasSubstr("Connection: close\r\n"));
}

TEST(HttpLoop, AbortEndsStreamsThatNobodyReads) {
  std::atomic<bool> has_failed = false;
  std::vector<Route> routes = {{"POST", "/endless", [&](HttpCall&) {
                                  return HttpReply{.stream = [&](const StreamWriter& write) {
                                    while (write(std::string(1 << 16, 'x'))) continue;
                                    has_failed = true;
                                  }};
                                }}};
  HttpServed served({}, std::move(routes));
  Wire wire(served.port());
  wire.Say(Post("/endless"));
  wire.Hear(1);
  served.End();
  EXPECT_TRUE(has_failed);
}

TEST(HttpLoop, AFailingRouteIsAnError) {
  std::vector<Route> routes = {
      {"POST", "/fails", [](HttpCall&) -> HttpReply { throw std::bad_alloc(); }},
      {"POST", "/breaks", [](HttpCall&) {
         return HttpReply{.stream = [](const StreamWriter& write) {
           write("a");
           throw std::bad_alloc();
         }};
       }}};
  HttpServed served({}, std::move(routes));
  Wire wire(served.port());
  wire.Say(Post("/fails"));
  EXPECT_THAT(wire.HearUntil("}}"), HasSubstr("500 Internal Server Error"));
  wire.Say(kAsk);
  EXPECT_THAT(wire.HearUntil("ok"), HasSubstr("200"));
  wire.Say(Post("/breaks"));
  EXPECT_THAT(wire.Hear(), testing::EndsWith("1\r\na\r\n"));  // and no end of the stream
}

}  // namespace
}  // namespace sluice::server
