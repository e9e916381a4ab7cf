#include "tools/server/api_error.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace sluice::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr absl::string_view kParam = "sluice/param", kCode = "sluice/code";  // of payloads

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

// The words that OpenAI's API has for what programs act on.
absl::string_view CodeOf(int http_code) {
  switch (http_code) {
    case 401:
      return "invalid_api_key";
    case 429:
      return "rate_limit_exceeded";
    default:
      return "";
  }
}

absl::Status WithField(absl::Status status, absl::string_view param, absl::string_view code) {
  status.SetPayload(kParam, absl::Cord(param));
  if (!code.empty()) status.SetPayload(kCode, absl::Cord(code));
  return status;
}

std::string PayloadOf(const absl::Status& status, absl::string_view name) {
  const auto payload = status.GetPayload(name);
  return payload.has_value() ? std::string(*payload) : "";
}

Json TextOrNull(absl::string_view text) {
  return text.empty() ? Json(nullptr) : Json(std::string(text));
}

}  // namespace

absl::Status FieldError(absl::string_view param, absl::string_view message,
                        absl::string_view code) {
  return WithField(absl::InvalidArgumentError(message), param, code);
}

absl::Status NoSuchModel(absl::string_view name, absl::string_view known) {
  return WithField(
      absl::NotFoundError(absl::StrCat("there is no model '", name, "', expected '", known, "'")),
      "model", "model_not_found");
}

std::string ParamOf(const absl::Status& status) { return PayloadOf(status, kParam); }

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

std::string ErrorBody(int http_code, absl::string_view message, absl::string_view param,
                      absl::string_view code) {
  const Json error = {{"code", TextOrNull(code.empty() ? CodeOf(http_code) : code)},
                      {"message", std::string(message)},
                      {"type", TypeOf(http_code)},
                      {"param", TextOrNull(param)}};
  // What clients sent may be quoted, and need not be UTF-8.
  return Json{{"error", error}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string ErrorBody(const absl::Status& status) {
  return ErrorBody(HttpCodeOf(status), status.message(), ParamOf(status), PayloadOf(status, kCode));
}

}  // namespace sluice::server
