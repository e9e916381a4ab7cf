// libFuzzer target: any file is refused with its name, a place and a reason, or is a graph that
// obeys the verifier and comes back from text and from proto as it was. JSON and text proto are
// what only this target reaches; text_fuzz.cc and proto_fuzz.cc go deeper into the other two.
// The seed corpus is tests/data/ir/forms.
#include <cstdio>
#include <cstdlib>

#include "absl/strings/match.h"
#include "tests/support/fuzz_graph.h"
#include "tools/debug/read_graph.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string content(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<sluice::Graph> graph = sluice::ReadGraph(content, "file");
  if (graph.ok()) {
    sluice::RequireSound(*graph);
  } else if (!absl::StartsWith(graph.status().message(), "file:")) {
    std::fprintf(stderr, "names no file: %s\n", graph.status().ToString().c_str());
    std::abort();
  }
  return 0;
}
