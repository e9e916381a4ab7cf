// Why a request is not served.
#pragma once

#include <string>

namespace sluice::server {

struct Refusal {
  int status = 0;  // 0: none
  std::string message;
};

}  // namespace sluice::server
