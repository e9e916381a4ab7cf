#include "tools/server/http_loop.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "tools/server/api_error.h"
#include "tools/server/http_reply_head.h"

namespace sluice::server {
namespace {

using std::chrono::milliseconds;
using Clock = HttpConnection::Clock;

constexpr uint64_t kListening = 0, kWake = 1, kFirstClient = 2;
constexpr int kMostEvents = 256;
constexpr int kMostAccepted = 256;  // before somebody else has a turn
constexpr milliseconds kAcceptPause(100);
// How long, and for how much, a client may go on sending after its last reply. To close at once
// would take the reply from one that has not read it.
constexpr milliseconds kLingering(2000);
constexpr size_t kMostLingering = 16 << 20;

std::string Took(absl::string_view what, milliseconds timeout) {
  return absl::StrCat(what, " took longer than ", std::chrono::duration<double>(timeout).count(),
                      " s");
}

}  // namespace

HttpLoop::HttpLoop(HttpShared& shared, int listening)
    : shared_(shared),
      listening_(listening),
      next_id_(kFirstClient),
      neighbours_(shared.options.connections_per_address),
      workers_(shared.options.threads) {}

HttpLoop::~HttpLoop() {
  if (epoll_ >= 0) ::close(epoll_);
  if (listening_ >= 0) ::close(listening_);
}

absl::Status HttpLoop::Open() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0 || wake_.fd() < 0 || shared_.abort.fd() < 0) {
    return absl::UnavailableError(absl::StrCat("cannot wait for clients: ", std::strerror(errno)));
  }
  Arm(wake_.fd(), kWake, EPOLLIN, EPOLL_CTL_ADD);
  Arm(listening_, kListening, EPOLLIN | EPOLLONESHOT, EPOLL_CTL_ADD);
  return absl::OkStatus();
}

void HttpLoop::Run() {
  std::array<epoll_event, kMostEvents> events;
  while (!IsOver()) {
    const int count = epoll_wait(epoll_, events.data(), kMostEvents, WaitMilliseconds());
    for (int i = 0; i < count; ++i) {
      const uint64_t id = events[static_cast<size_t>(i)].data.u64;
      if (id == kWake) {
        wake_.Clear();
      } else if (id == kListening) {
        Accept();
      } else if (const auto found = clients_.find(id); found != clients_.end()) {
        OnReady(*found->second);  // unless an event before has closed it
      }
    }
    TakeReturned();
    if (shared_.is_stopped) StopReading();
    CloseOverdue();
    if (Clock::now() >= accept_again_) Accept();
  }
  workers_.Finish();
  clients_.clear();
  deadlines_.clear();
}

void HttpLoop::Stop() {
  shared_.is_stopped = true;
  wake_.Set();
}

void HttpLoop::Abort() {
  shared_.is_stopped = true;
  shared_.abort.Set();
  {
    const std::lock_guard lock(mutex_);
    is_aborted_ = true;
  }
  wake_.Set();
}

bool HttpLoop::AwaitNoCalls(milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return has_changed_.wait_for(
      lock, timeout, [this] { return calls_ == 0 && (reads_nothing_ || !shared_.is_stopped); });
}

bool HttpLoop::IsOver() {
  const std::lock_guard lock(mutex_);
  return is_aborted_ || (reads_nothing_ && calls_ == 0);
}

void HttpLoop::CountCalls(int change) {
  {
    const std::lock_guard lock(mutex_);
    calls_ += change;
  }
  has_changed_.notify_all();
}

// Those that wait for a request or the rest of one are closed, with all that have not been
// accepted; replies go out.
void HttpLoop::StopReading() {
  if (listening_ < 0) return;
  ::close(listening_);
  listening_ = -1;
  accept_again_ = Time::max();
  std::vector<Client*> readers;
  for (const auto& [id, client] : clients_) {
    if (client->state == State::kReading) readers.push_back(client.get());
  }
  for (Client* client : readers) Close(*client);
  {
    const std::lock_guard lock(mutex_);
    reads_nothing_ = true;
  }
  has_changed_.notify_all();
}

void HttpLoop::OnReady(Client& client) {
  switch (client.state) {
    case State::kReading:
      return Read(client);
    case State::kFlushing:
      client.connection.Flush();
      if (AfterReply(client)) Continue(client);
      return;
    case State::kLingering:
      return Drain(client);
    case State::kAtWork:
      return;  // not watched
  }
}

void HttpLoop::Read(Client& client) {
  const ssize_t count = client.connection.Receive(received_.data(), received_.size());
  if (count == HttpConnection::kNothing) return Watch(client, EPOLLIN);
  if (count > 0) return Advance(client, {received_.data(), static_cast<size_t>(count)});
  if (count < 0 || client.is_idle()) return Close(client);
  const bool has_head = client.progress == HttpExchange::State::kBody;
  Refuse(client, {400, has_head ? "the body is not complete" : "the head is not complete"});
}

// Takes requests out of `bytes` until more of them are needed, or another thread is at work.
void HttpLoop::Advance(Client& client, absl::string_view bytes) {
  while (true) {
    if (client.exchange == nullptr) {
      if (bytes.empty()) return Watch(client, EPOLLIN);
      client.exchange = std::make_unique<HttpExchange>(shared_, client.connection);
    }
    const HttpExchange::State before =
        std::exchange(client.progress, client.exchange->Take(&bytes));
    if (!CountHeld(client)) {
      return Refuse(client, {503, "too many large requests are being read or answered"});
    }
    switch (client.progress) {
      case HttpExchange::State::kBlank:
        return Watch(client, EPOLLIN);
      case HttpExchange::State::kHead:
        if (before == HttpExchange::State::kBlank) {
          client.deadline = Clock::now() + shared_.options.head_timeout;
        }
        return Watch(client, EPOLLIN);
      case HttpExchange::State::kBody:
        if (before != HttpExchange::State::kBody) {
          client.deadline = Clock::now() + shared_.options.body_timeout;
          if (client.exchange->AwaitsContinue()) {
            client.connection.Send("HTTP/1.1 100 Continue\r\n\r\n");
          }
        }
        return Watch(client, EPOLLIN);
      case HttpExchange::State::kWhole:
        if (!client.exchange->is_open()) return BeginWork(client, bytes);
        client.exchange->Answer();
        break;
      case HttpExchange::State::kRefused:
        client.exchange->Refuse();
        break;
    }
    client.unread = std::string(bytes);
    if (!AfterReply(client)) return;
    client.unread.clear();
  }
}

// What comes after a reply. True: the next request.
bool HttpLoop::AfterReply(Client& client) {
  if (client.connection.is_broken()) {
    Close(client);
    return false;
  }
  if (client.connection.has_unsent()) {
    if (client.state != State::kFlushing) {
      if (client.state == State::kReading) CountCalls(1);
      client.state = State::kFlushing;
      client.deadline = Clock::now() + shared_.options.write_timeout;
    }
    Watch(client, EPOLLOUT);
    return false;
  }
  if (client.state != State::kReading) CountCalls(-1);
  client.state = State::kReading;
  if (client.exchange->ends_connection() || shared_.is_stopped) {
    Linger(client);
    return false;
  }
  EndExchange(client);
  client.deadline = Clock::now() + shared_.options.idle_timeout;
  return true;
}

void HttpLoop::Refuse(Client& client, Refusal refusal) {
  client.exchange->Refuse(std::move(refusal));
  AfterReply(client);
}

void HttpLoop::Continue(Client& client) {
  const std::string unread = std::exchange(client.unread, "");
  Advance(client, unread);
}

void HttpLoop::BeginWork(Client& client, absl::string_view unread) {
  client.unread = std::string(unread);
  client.state = State::kAtWork;
  Unwatch(client);
  CountCalls(1);
  workers_.Post([this, &client] {
    client.exchange->Answer();
    {
      const std::lock_guard lock(mutex_);
      returned_.push_back(client.id);
    }
    wake_.Set();
  });
}

void HttpLoop::TakeReturned() {
  std::vector<uint64_t> returned;
  {
    const std::lock_guard lock(mutex_);
    returned.swap(returned_);
  }
  for (const uint64_t id : returned) {
    Client& client = *clients_.at(id);
    if (AfterReply(client)) Continue(client);
  }
}

void HttpLoop::Linger(Client& client) {
  EndExchange(client);
  client.unread.clear();
  client.state = State::kLingering;
  client.connection.EndSending();
  client.deadline = Clock::now() + kLingering;
  Drain(client);
}

void HttpLoop::Drain(Client& client) {
  while (client.lingered < kMostLingering) {
    const ssize_t count = client.connection.Receive(received_.data(), received_.size());
    if (count == HttpConnection::kNothing) return Watch(client, EPOLLIN);
    if (count <= 0) break;
    client.lingered += static_cast<size_t>(count);
  }
  Close(client);
}

void HttpLoop::OnDeadline(Client& client) {
  if (client.state != State::kReading || client.is_idle()) return Close(client);
  const HttpOptions& options = shared_.options;
  Refuse(client, {408, client.progress == HttpExchange::State::kBody
                           ? Took("the body", options.body_timeout)
                           : Took("the head", options.head_timeout)});
}

void HttpLoop::CloseOverdue() {
  const Time now = Clock::now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    Client& client = *clients_.at(deadlines_.begin()->second);
    Unwatch(client);
    OnDeadline(client);
  }
}

int HttpLoop::WaitMilliseconds() const {
  const Time first =
      std::min(accept_again_, deadlines_.empty() ? Time::max() : deadlines_.begin()->first);
  if (first == Time::max()) return -1;
  const auto left = std::chrono::ceil<milliseconds>(first - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

void HttpLoop::Accept() {
  accept_again_ = Time::max();
  if (listening_ < 0) return;
  for (int i = 0; i < kMostAccepted; ++i) {
    if (!AcceptOne()) break;
  }
  if (accept_again_ == Time::max()) {
    Arm(listening_, kListening, EPOLLIN | EPOLLONESHOT, EPOLL_CTL_MOD);
  }
}

// False: there is no more, or no room for it.
bool HttpLoop::AcceptOne() {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  const int socket = accept4(listening_, reinterpret_cast<sockaddr*>(&address), &size,
                             SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (socket < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      if (CloseIdlest()) return true;
      accept_again_ = Clock::now() + kAcceptPause;
      return false;
    }
    return true;  // one that has gone meanwhile
  }
  Admit(socket, NeighbourOf(address));
  return true;
}

void HttpLoop::Admit(int socket, const std::string& neighbour) {
  if (!neighbours_.Admit(neighbour)) {
    return TurnAway(socket, absl::StrCat("too many connections from ", neighbour));
  }
  if (clients_.size() >= static_cast<size_t>(shared_.options.connections) && !CloseIdlest()) {
    neighbours_.Leave(neighbour);
    return TurnAway(socket, "too many connections");
  }
  const uint64_t id = next_id_++;
  auto client = std::make_unique<Client>(id, socket, neighbour);
  client->deadline = Clock::now() + shared_.options.idle_timeout;
  Arm(socket, id, 0, EPOLL_CTL_ADD);
  Watch(*client, EPOLLIN);
  clients_.emplace(id, std::move(client));
}

// There is no room to wait for it: it may not see the reply.
void HttpLoop::TurnAway(int socket, const std::string& why) {
  HttpConnection connection(socket);
  HttpExchange exchange(shared_, connection);
  exchange.Refuse({503, why});
  connection.EndSending();
  connection.Receive(received_.data(), received_.size());
}

// One without a request, to make room. False if there is none.
bool HttpLoop::CloseIdlest() {
  for (const auto& [deadline, id] : deadlines_) {
    Client& client = *clients_.at(id);
    if (!client.is_idle()) continue;
    Close(client);
    return true;
  }
  return false;
}

void HttpLoop::Arm(int fd, uint64_t id, uint32_t events, int operation) const {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = id;
  epoll_ctl(epoll_, operation, fd, &event);
}

// Each event ends the watching, so that none comes for a client that another thread has.
void HttpLoop::Watch(Client& client, uint32_t events) {
  Unwatch(client);
  client.watched_until = client.deadline;
  deadlines_.emplace(client.watched_until, client.id);
  Arm(client.connection.fd(), client.id, events | EPOLLONESHOT, EPOLL_CTL_MOD);
}

void HttpLoop::Unwatch(Client& client) { deadlines_.erase({client.watched_until, client.id}); }

void HttpLoop::EndExchange(Client& client) {
  client.exchange = nullptr;
  client.progress = HttpExchange::State::kBlank;
  CountHeld(client);
}

bool HttpLoop::CountHeld(Client& client) {
  const size_t now = client.exchange == nullptr ? 0 : client.exchange->body().size();
  held_ += now - client.held;
  client.held = now;
  return now == 0 || held_ == now ||
         held_ <= static_cast<uint64_t>(shared_.options.most_held_bytes);
}

void HttpLoop::Close(Client& client) {
  EndExchange(client);
  if (client.state == State::kAtWork || client.state == State::kFlushing) CountCalls(-1);
  Unwatch(client);
  neighbours_.Leave(client.neighbour);
  clients_.erase(client.id);
}

}  // namespace sluice::server
