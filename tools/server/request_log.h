// One line for each request.
#pragma once

#include <mutex>
#include <ostream>

#include "tools/server/call_record.h"

namespace sluice::server {

enum class LogFormat { kNone, kText, kJson };

class RequestLog {
 public:
  // `out` outlives the log and is written to by nobody else.
  RequestLog(LogFormat format, std::ostream& out) : format_(format), out_(out) {}
  // From any thread.
  void Write(const CallRecord& record);

 private:
  const LogFormat format_;
  std::ostream& out_;
  std::mutex mutex_;
};

}  // namespace sluice::server
