#include "tools/graph_format.h"

#include "tools/debug/read_graph.h"
#include "tools/views/dot.h"
#include "tools/views/graphviz.h"
#include "tools/views/page.h"
#include "tools/views/page_data.h"

namespace sluice::tools {
namespace {

std::string PageOf(const Graph& graph) {
  const CompileContext any_target;
  PageData page(graph.name(), any_target);
  page.AddStage("graph", graph);
  return HtmlPage(page.Json());
}

}  // namespace

std::vector<std::string> FormatNames() {
  return {"text", "textproto", "json", "proto", "dot", "svg", "html"};
}

absl::StatusOr<std::string> Format(const Graph& graph, const std::string& format) {
  if (format == "dot") return ToDot(graph);
  if (format == "svg") return DotToSvg(ToDot(graph));
  if (format == "html") return PageOf(graph);
  return WriteGraph(graph, format);
}

}  // namespace sluice::tools
