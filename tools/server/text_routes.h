// Calls about texts that generate none.
#pragma once

#include "tools/server/http_server.h"
#include "tools/server/json_fields.h"
#include "tools/server/served_model.h"

namespace sluice::server {

// `body` is that of the call, parsed.
HttpReply Embed(HttpCall& call, const Json& body, const ServedModel& model);
HttpReply Tokenize(HttpCall& call, const Json& body, const ServedModel& model);
HttpReply Detokenize(HttpCall& call, const Json& body, const ServedModel& model);

}  // namespace sluice::server
