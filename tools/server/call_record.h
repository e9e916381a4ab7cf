// What is known of a request once it is answered, for the log and the metrics.
#pragma once

#include <optional>
#include <string>

#include "tools/server/responses.h"

namespace sluice::server {

struct CallRecord {
  std::string id;
  std::string method, path;  // the path of a route; what has none is ""
  int status = 0;
  std::string outcome;  // finish reasons, or the error
  std::string warning;  // of what was odd about it and did not matter; also a header
  Usage usage;
  std::optional<double> first_token_seconds;
  double seconds = 0;
};

}  // namespace sluice::server
