// libFuzzer target: any bytes are no message, are refused with a reason, or are a graph that obeys
// the verifier and comes back from text and from proto as it was. Read twice, as in text_fuzz.cc.
// The seed corpus is tests/data/ir/proto.
#include "graph/proto_io.h"

#include <google/protobuf/stubs/logging.h>

#include "tests/support/fuzz_graph.h"
#include "tests/support/toy_ops.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const google::protobuf::LogSilencer no_complaints_about_utf8;
  sluice::proto::Graph message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  for (const sluice::OpRegistry* registry : {&sluice::StandardOps(), &sluice::ToyOps()}) {
    const absl::StatusOr<sluice::Graph> graph = sluice::FromProto(message, registry);
    if (graph.ok()) sluice::RequireSound(*graph);
  }
  return 0;
}
