#include "tools/server/api_error.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/cord.h"

namespace sluice::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr absl::string_view kParam = "sluice/param";  // the payload's name

const char* TypeOf(int http_code) {
  switch (http_code) {
    case 401:
      return "authentication_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "unavailable_error";
    case 504:
      return "timeout_error";
    default:
      return http_code < 500 ? "invalid_request_error" : "server_error";
  }
}

}  // namespace

absl::Status FieldError(absl::string_view param, absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kParam, absl::Cord(param));
  return status;
}

std::string ParamOf(const absl::Status& status) {
  const auto param = status.GetPayload(kParam);
  return param.has_value() ? std::string(*param) : "";
}

int HttpCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

std::string ErrorBody(int http_code, absl::string_view message, absl::string_view param) {
  const Json error = {{"code", http_code},
                      {"message", std::string(message)},
                      {"type", TypeOf(http_code)},
                      {"param", param.empty() ? Json(nullptr) : Json(std::string(param))}};
  // What clients sent may be quoted, and need not be UTF-8.
  return Json{{"error", error}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string ErrorBody(const absl::Status& status) {
  return ErrorBody(HttpCodeOf(status), status.message(), ParamOf(status));
}

}  // namespace sluice::server
