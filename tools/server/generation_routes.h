// Calls that generate text: all at once, or as a stream of events.
#pragma once

#include "tools/server/generation.h"
#include "tools/server/http_server.h"

namespace sluice::server {

// What generating needs beside the request. All outlive the replies.
struct GenerationContext {
  const RequestDefaults& defaults;
  const GenerationLimits& limits;
  Admission& admission;
};

// `body` is that of the call, parsed.
HttpReply Complete(HttpCall& call, const Json& body, const ServedModel& model,
                   const GenerationContext& context);
HttpReply Chat(HttpCall& call, const Json& body, const ServedModel& model,
               const GenerationContext& context);

}  // namespace sluice::server
