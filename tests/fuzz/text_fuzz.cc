// libFuzzer target: any text is refused with a message or is a graph that obeys the verifier and
// comes back from text and from proto as it was. Read twice: with the real ops and with toy ops,
// which have what real ones lack.
// The seed corpus is tests/data/ir.
#include "graph/text.h"

#include "tests/support/fuzz_graph.h"
#include "tests/support/toy_ops.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  for (const sluice::OpRegistry* registry : {&sluice::StandardOps(), &sluice::ToyOps()}) {
    const absl::StatusOr<sluice::Graph> graph = sluice::Parse(text, "fuzz", registry);
    if (graph.ok()) sluice::RequireSound(*graph);
  }
  return 0;
}
