#include "runtime/request_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/fake_device.h"

namespace sluice {
namespace {

class Queue : public testing::Test {
 protected:
  FakeDevice device_{{.max_tokens = 8,
                      .max_seqs = 4,
                      .max_outputs = 4,
                      .max_context = 64,
                      .block_size = 4,
                      .vocabulary = 50},
                     24};
  Scheduler scheduler_{device_, {}};
  RequestQueue queue_;
};

Request NewRequest(std::vector<int32_t> prompt, int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.options.max_tokens = max_tokens;
  return request;
}

TEST_F(Queue, TakesRequestsInTheOrderOfTheirIds) {
  for (int64_t id = 1; id <= 3; ++id) {
    const auto given = queue_.Submit(NewRequest({1}, 1));
    ASSERT_TRUE(given.ok()) << given.status();
    EXPECT_EQ(*given, id);
  }
  queue_.Cancel(2);
  const RequestQueue::News news = queue_.Take(/*wait=*/true);
  ASSERT_EQ(news.requests.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(news.requests[i].id, static_cast<int64_t>(i) + 1);
  EXPECT_EQ(news.cancelled, std::vector<int64_t>{2});
  EXPECT_FALSE(news.closed);
  EXPECT_TRUE(queue_.Take(/*wait=*/false).requests.empty());
}

TEST_F(Queue, IsClosedForGood) {
  queue_.Close();
  EXPECT_TRUE(queue_.Take(/*wait=*/true).closed);
  EXPECT_TRUE(queue_.Take(/*wait=*/true).closed);
  EXPECT_EQ(queue_.Submit(NewRequest({1}, 1)).status().code(), absl::StatusCode::kUnavailable);
}

// Three threads submit, and cancel every third of their requests after its first token.
TEST_F(Queue, ServesRequestsOfManyThreads) {
  constexpr int kThreads = 3, kRequests = 60;
  std::atomic<int> finished = 0, cancelled = 0, failed = 0;
  std::atomic<int64_t> tokens = 0;
  std::thread runner([&] { RunRequests(queue_, scheduler_); });
  std::vector<std::thread> clients;
  for (int thread = 0; thread < kThreads; ++thread) {
    clients.emplace_back([&, thread] {
      for (int i = 0; i < kRequests; ++i) {
        auto begun = std::make_shared<std::atomic<bool>>(false);
        Request request = NewRequest({1, 2, 3, 4, thread, i % 50}, 8);
        request.options.draft = {.ngram = 1, .max = 3};
        request.options.on_token = [&, begun](int32_t) {
          ++tokens;
          *begun = true;
          begun->notify_one();
          return true;
        };
        request.on_finish = [&](const RequestResult& result) {
          if (!result.status.ok()) ++failed;
          if (result.reason == StopReason::kCallback) ++cancelled;
          ++finished;
          finished.notify_one();
        };
        const auto id = queue_.Submit(std::move(request));
        ASSERT_TRUE(id.ok()) << id.status();
        if (i % 3 > 0) continue;
        begun->wait(false);
        queue_.Cancel(*id);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  for (int done = finished; done < kThreads * kRequests; done = finished) finished.wait(done);
  queue_.Close();
  runner.join();
  EXPECT_EQ(failed, 0);
  EXPECT_LE(cancelled, kThreads * kRequests / 3);
  EXPECT_GE(tokens, 8 * (kThreads * kRequests - cancelled));
  EXPECT_EQ(device_.fault(), "");
  EXPECT_EQ(device_.pool().free(), device_.pool().size());
}

TEST_F(Queue, ClosingCancelsWhatIsNotFinished) {
  std::atomic<bool> begun = false;
  int finished = 0;
  std::thread runner([&] { RunRequests(queue_, scheduler_); });
  for (int i = 0; i < 8; ++i) {
    Request request = NewRequest({1, 2, 3}, -1);
    request.options.on_token = [&](int32_t) {
      begun = true;
      begun.notify_one();
      return true;
    };
    request.on_finish = [&](const RequestResult& result) {
      EXPECT_TRUE(result.status.ok()) << result.status;
      ++finished;
    };
    ASSERT_TRUE(queue_.Submit(std::move(request)).ok());
  }
  begun.wait(false);
  queue_.Close();
  runner.join();
  EXPECT_EQ(finished, 8);
  EXPECT_TRUE(scheduler_.idle());
}

TEST_F(Queue, TellsOfEachStep) {
  std::vector<int64_t> generated;
  Request request = NewRequest({1, 2}, 3);
  request.on_finish = [&](const RequestResult&) { queue_.Close(); };
  ASSERT_TRUE(queue_.Submit(std::move(request)).ok());
  RunRequests(queue_, scheduler_, [&](const Scheduler& scheduler) {
    generated.push_back(scheduler.counters().generated);
  });
  EXPECT_EQ(generated, (std::vector<int64_t>{0, 1, 2, 3}));
}

TEST_F(Queue, ARequestThatCannotBeRunFinishesWithTheReason) {
  absl::Status status;
  Request request = NewRequest({}, 1);
  request.on_finish = [&](const RequestResult& result) {
    status = result.status;
    queue_.Close();
  };
  ASSERT_TRUE(queue_.Submit(std::move(request)).ok());
  RunRequests(queue_, scheduler_);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
