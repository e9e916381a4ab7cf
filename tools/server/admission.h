// How many answers may be in the making or wait for it, over all requests.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace sluice::server {

class Admission {
 public:
  explicit Admission(int64_t capacity) : capacity_(capacity), state_(std::make_shared<State>()) {}

  // Places for `count` answers, nullptr if there are not so many. Each is free again when its
  // holder is gone, which may be later than the admission.
  class Ticket;
  std::shared_ptr<Ticket> Take(int64_t count);

  int64_t capacity() const { return capacity_; }
  int64_t taken() const;

 private:
  struct State {
    std::mutex mutex;
    int64_t taken = 0;
  };

  const int64_t capacity_;
  std::shared_ptr<State> state_;
};

class Admission::Ticket {
 public:
  Ticket(std::shared_ptr<State> state, int64_t count) : state_(std::move(state)), count_(count) {}
  ~Ticket();
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

 private:
  std::shared_ptr<State> state_;
  const int64_t count_;
};

}  // namespace sluice::server
