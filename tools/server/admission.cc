#include "tools/server/admission.h"

#include <utility>

namespace sluice::server {

std::shared_ptr<Admission::Ticket> Admission::Take(int64_t count) {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  if (count > capacity_ - state_->taken) return nullptr;
  state_->taken += count;
  return std::make_shared<Ticket>(state_, count);
}

int64_t Admission::taken() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->taken;
}

Admission::Ticket::~Ticket() {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->taken -= count_;
}

}  // namespace sluice::server
