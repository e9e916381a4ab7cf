#include "tools/terminal/end_signals.h"

#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace sluice::tools {

EndSignals::EndSignals() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  fd_ = signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK);
}

EndSignals::~EndSignals() {
  Release();
  close(fd_);
}

bool EndSignals::Await(std::chrono::milliseconds timeout) const {
  pollfd waited = {fd_, POLLIN, 0};
  if (poll(&waited, 1, static_cast<int>(timeout.count())) <= 0) return false;
  signalfd_siginfo taken;
  return read(fd_, &taken, sizeof taken) == sizeof taken;
}

void EndSignals::Release() const { pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr); }

}  // namespace sluice::tools
