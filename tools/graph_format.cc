#include "tools/graph_format.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"
#include "graph/proto_io.h"
#include "graph/text.h"
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
  if (format == "text") return Print(graph);
  if (format == "dot") return ToDot(graph);
  if (format == "svg") return DotToSvg(ToDot(graph));
  if (format == "html") return PageOf(graph);
  const proto::Graph message = ToProto(graph);
  std::string out;
  bool done = false;
  if (format == "textproto") {
    done = google::protobuf::TextFormat::PrintToString(message, &out);
  } else if (format == "json") {
    google::protobuf::util::JsonPrintOptions options;
    options.add_whitespace = true;
    options.preserve_proto_field_names = true;
    done = google::protobuf::util::MessageToJsonString(message, &out, options).ok();
  } else if (format == "proto") {
    done = message.SerializeToString(&out);
  }
  if (!done) return absl::InternalError(absl::StrCat("cannot write the graph as ", format));
  return out;
}

}  // namespace sluice::tools
