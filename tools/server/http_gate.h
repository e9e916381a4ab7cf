// What is asked of a request before its body is read: who may ask, under which name, for what.
// Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "tools/server/http_head.h"
#include "tools/server/http_refusal.h"
#include "tools/server/http_server.h"

namespace sluice::server {

class HttpGate {
 public:
  struct Verdict {
    Refusal refusal;
    const Route* route = nullptr;  // if there is no refusal; none: the headers are the answer
    std::string path, rest;        // that of a route, "" if none has it, and what its * stands for
    std::vector<std::pair<std::string, std::string>> headers;  // of whatever is answered
  };

  // Both outlive the gate.
  HttpGate(const HttpOptions& options, const std::vector<Route>& routes)
      : options_(options), routes_(routes) {}

  Verdict Judge(const HttpHead& head) const;

 private:
  Refusal CheckHost(const HttpHead& head) const;
  Refusal CheckOrigin(const HttpHead& head) const;
  bool IsCorsOrigin(absl::string_view origin) const;
  void AddCors(const HttpHead& head, Verdict* verdict) const;
  // The methods of a path; "": there is no such path.
  std::string MethodsOf(absl::string_view path) const;
  const Route* Find(absl::string_view method, absl::string_view path) const;
  void FindPath(absl::string_view path, Verdict* verdict) const;

  const HttpOptions& options_;
  const std::vector<Route>& routes_;
};

}  // namespace sluice::server
