// All connections of a server that wait for their client: for a request, the rest of one, or until
// a reply is taken. One thread for all of them (epoll); each has a deadline.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "tools/server/http_addresses.h"
#include "tools/server/http_connection.h"
#include "tools/server/http_exchange.h"
#include "tools/server/http_workers.h"

namespace sluice::server {

class HttpLoop {
 public:
  // `shared` outlives the loop. Takes the socket, which listens and does not block.
  HttpLoop(HttpShared& shared, int listening);
  ~HttpLoop();
  HttpLoop(const HttpLoop&) = delete;
  HttpLoop& operator=(const HttpLoop&) = delete;

  // Once, before all others.
  absl::Status Open();
  // As HttpServer says.
  void Run();
  void Stop();
  bool AwaitNoCalls(std::chrono::milliseconds timeout);
  void Abort();

 private:
  using Time = HttpConnection::Clock::time_point;
  enum class State {
    kReading,    // a request, or waiting for one
    kAtWork,     // on another thread, which has the client until it is returned
    kFlushing,   // a reply that the client does not take at once
    kLingering,  // the last reply is sent: what the client still sends goes nowhere
  };
  struct Client {
    Client(uint64_t its_id, int socket, std::string its_neighbour)
        : id(its_id), connection(socket), neighbour(std::move(its_neighbour)) {}

    const uint64_t id;
    HttpConnection connection;
    const std::string neighbour;
    State state = State::kReading;
    // Of the last request that has begun.
    HttpExchange::State progress = HttpExchange::State::kBlank;
    Time deadline = {};
    Time watched_until = {};                 // the deadline for which it stands in deadlines_
    std::unique_ptr<HttpExchange> exchange;  // none while nothing has come
    std::string unread;                      // came with the request that is at work
    size_t held = 0;                         // bytes of its body, as last counted
    size_t lingered = 0;                     // bytes

    // There is no request, not even a part of one.
    bool is_idle() const {
      return state == State::kReading && progress == HttpExchange::State::kBlank;
    }
  };

  // Each may close the client.
  void OnReady(Client& client);
  void OnDeadline(Client& client);
  void Read(Client& client);
  void Advance(Client& client, absl::string_view bytes);
  bool AfterReply(Client& client);
  void Refuse(Client& client, Refusal refusal);
  void EndExchange(Client& client);
  void Linger(Client& client);
  void Drain(Client& client);

  void Continue(Client& client);  // with what was unread
  void BeginWork(Client& client, absl::string_view unread);
  void TakeReturned();
  void StopReading();

  void Accept();
  bool AcceptOne();
  void Admit(int socket, const std::string& neighbour);
  void TurnAway(int socket, const std::string& why);
  bool CloseIdlest();
  void Watch(Client& client, uint32_t events);
  void Arm(int fd, uint64_t id, uint32_t events, int operation) const;
  void Unwatch(Client& client);
  void Close(Client& client);
  void CloseOverdue();
  int WaitMilliseconds() const;
  // False if there are too many.
  bool CountHeld(Client& client);
  void CountCalls(int change);
  bool IsOver();

  HttpShared& shared_;
  int listening_, epoll_ = -1;
  HttpEvent wake_;
  uint64_t next_id_;
  std::unordered_map<uint64_t, std::unique_ptr<Client>> clients_;
  std::set<std::pair<Time, uint64_t>> deadlines_;
  NeighbourCounts neighbours_;
  size_t held_ = 0;  // bytes of all bodies
  Time accept_again_ = Time::max();
  std::array<char, 65536> received_;

  std::mutex mutex_;
  std::condition_variable has_changed_;
  std::vector<uint64_t> returned_;  // these are guarded by mutex_
  int calls_ = 0;
  bool reads_nothing_ = false;  // Stop has been heeded
  bool is_aborted_ = false;

  HttpWorkers workers_;  // the last: its threads use all of the above
};

}  // namespace sluice::server
