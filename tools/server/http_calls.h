// The calls that a server has at work. For http_server.cc only.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>

#include "tools/server/http_connection.h"
#include "tools/server/http_server.h"

namespace sluice::server {

class HttpWork final : public HttpCall {
 public:
  // The connection outlives the call.
  explicit HttpWork(const HttpConnection& connection)
      : connection_(connection), begin_(HttpConnection::Clock::now()) {}

  const std::string& body() const override { return text; }
  const std::string& rest() const override { return rest_of_path; }
  bool IsClientGone() const override { return connection_.IsPeerGone(); }
  double Seconds() const {
    return std::chrono::duration<double>(HttpConnection::Clock::now() - begin_).count();
  }

  std::string text, rest_of_path;
  bool is_begun = false;         // its head is read
  bool has_more = false;         // a body that is not read
  bool ends_connection = false;  // whatever the client wishes

 private:
  const HttpConnection& connection_;
  const HttpConnection::Clock::time_point begin_;
};

// Which call is whose: httplib's handlers get its own request and nothing else. All from any
// thread.
class HttpCalls {
 public:
  void Add(const httplib::Request& request, HttpWork& call);
  void Remove(const HttpWork& call);
  // The request's call, which has been added.
  HttpWork& Of(const httplib::Request& request) const;
  bool AwaitNone(std::chrono::milliseconds timeout) const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable is_empty_;
  std::map<const httplib::Request*, HttpWork*> calls_;  // guarded by mutex_
};

}  // namespace sluice::server
