// Errors as clients of the API see them: absl's codes are HTTP's in other words.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice::server {

// InvalidArgument about the field `param` of a request: "temperature", "messages[1].role". `code`
// is OpenAI's word for what programs act on, such as "context_length_exceeded", "" if there is
// none.
absl::Status FieldError(absl::string_view param, absl::string_view message,
                        absl::string_view code = "");
// NotFound: no model has this name.
absl::Status NoSuchModel(absl::string_view name, absl::string_view known);
// The field that an error is about, "" if none.
std::string ParamOf(const absl::Status& status);

// 400 for InvalidArgument, 401, 404, 429, 503, 504 for their counterparts, 500 for the rest. 499,
// which logs alone see, for Cancelled: the client is gone.
int HttpCodeOf(const absl::Status& status);

// {"error": {code, message, type, param}}; without a `code` of its own that of the status, which is
// null for most.
std::string ErrorBody(int http_code, absl::string_view message, absl::string_view param = "",
                      absl::string_view code = "");
std::string ErrorBody(const absl::Status& status);

}  // namespace sluice::server
