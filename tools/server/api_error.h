// Errors as clients of the API see them: absl's codes are HTTP's in other words.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice::server {

// InvalidArgument about the field `param` of a request: "temperature", "messages[1].role".
absl::Status FieldError(absl::string_view param, absl::string_view message);
// The field that an error is about, "" if none.
std::string ParamOf(const absl::Status& status);

// 400 for InvalidArgument, 401, 404, 429, 503, 504 for their counterparts, 500 for the rest. 499,
// which logs alone see, for Cancelled: the client is gone.
int HttpCodeOf(const absl::Status& status);

// {"error": {code, message, type, param}}
std::string ErrorBody(int http_code, absl::string_view message, absl::string_view param = "");
std::string ErrorBody(const absl::Status& status);

}  // namespace sluice::server
