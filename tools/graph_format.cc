#include "tools/graph_format.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "graph/proto_io.h"
#include "graph/text.h"
#include "tools/views/dot.h"
#include "tools/views/graphviz.h"
#include "tools/views/page.h"
#include "tools/views/page_data.h"

namespace sluice::tools {
namespace {

absl::Status NotA(const std::string& source, absl::string_view form, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(source, ": no ", form, " graph: ", why));
}

// Keeps the first complaint, with its place, instead of printing it.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (text_.empty()) text_ = absl::StrCat(line + 1, ":", column + 1, ": ", message);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

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

absl::StatusOr<Graph> ReadGraph(const std::string& content, const std::string& source) {
  const absl::string_view start = absl::StripLeadingAsciiWhitespace(content);
  if (absl::StartsWith(start, "graph ") || absl::StartsWith(start, "//")) {
    return Parse(content, source);
  }
  proto::Graph message;
  if (absl::StartsWith(start, "{")) {
    const auto status = google::protobuf::util::JsonStringToMessage(content, &message);
    if (!status.ok()) return JsonError(content, source, std::string(status.message()));
    return FromMessage(message, source);
  }
  if (absl::StartsWith(start, "name:")) {
    google::protobuf::TextFormat::Parser parser;
    FirstError error;
    parser.RecordErrorsTo(&error);
    if (!parser.ParseFromString(content, &message)) return NotA(source, "text proto", error.text());
    return FromMessage(message, source);
  }
  if (!message.ParseFromString(content)) {
    return NotA(source, "text, proto or JSON",
                "expected a line 'graph NAME' or a serialised graph");
  }
  return FromMessage(message, source);
}

}  // namespace sluice::tools
