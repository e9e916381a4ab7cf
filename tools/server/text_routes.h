// Calls about texts that generate none.
#pragma once

#include "tools/server/http_server.h"
#include "tools/server/served_model.h"

namespace sluice::server {

HttpReply Embed(HttpCall& call, const ServedModel& model);
HttpReply Tokenize(HttpCall& call, const ServedModel& model);
HttpReply Detokenize(HttpCall& call, const ServedModel& model);

}  // namespace sluice::server
