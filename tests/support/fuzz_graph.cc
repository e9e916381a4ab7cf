#include "tests/support/fuzz_graph.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "graph/proto_io.h"
#include "graph/text.h"
#include "graph/verifier.h"

namespace sluice {
namespace {

void Require(const absl::Status& status, absl::string_view what, const std::string& text) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n%s", std::string(what).c_str(), status.ToString().c_str(),
               text.c_str());
  std::abort();
}

absl::Status Same(const absl::StatusOr<Graph>& graph, const std::string& text) {
  if (!graph.ok()) return graph.status();
  const std::string printed = Print(*graph);
  return printed == text ? absl::OkStatus() : absl::InternalError(absl::StrCat("is:\n", printed));
}

}  // namespace

void RequireSound(const Graph& graph) {
  const std::string text = Print(graph);
  const OpRegistry* registry = &graph.registry();
  Require(Verify(graph), "the verifier", text);
  Require(Same(Parse(text, "again", registry), text), "the text that was printed", text);
  Require(Same(FromProto(ToProto(graph), registry), text), "the message", text);
  const Graph clone = graph.Clone();
  Require(Verify(clone), "the clone", text);
  Require(Print(clone) == text ? absl::OkStatus() : absl::InternalError("differs"), "the clone",
          text);
}

}  // namespace sluice
