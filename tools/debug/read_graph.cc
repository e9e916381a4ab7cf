#include "tools/debug/read_graph.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "graph/attributes.h"
#include "graph/error_list.h"
#include "graph/proto_io.h"
#include "graph/text.h"
#include "models/files/describe_file.h"
#include "tools/debug/json_syntax.h"

namespace sluice {
namespace {

absl::Status Invalid(const std::string& source, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(source, ":", why));
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

// "LINE:COLUMN: MESSAGE", where a message begins with a path like nodes[3], in parentheses or not.
std::string AtJson(const std::string& content, absl::string_view message) {
  const size_t begin = message.find_first_not_of("(");
  const size_t end = std::min(message.find_first_of(":) ", begin), message.size());
  const std::string place = JsonPlaceOf(content, message.substr(begin, end - begin));
  return absl::StrCat(place, place.empty() ? " " : ": ", message);
}

// Whether the minus sign is that of a number "-0", which ends there.
bool IsNegativeZero(absl::string_view json, size_t minus) {
  const char before = minus > 0 ? json[minus - 1] : ' ';
  const char after = minus + 2 < json.size() ? json[minus + 2] : ' ';
  const auto is_in_number = [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) || absl::StrContains(".eE", c);
  };
  return absl::StartsWith(json.substr(minus), "-0") && !is_in_number(before) &&
         !is_in_number(after);
}

// With "-0.0" for the number "-0": protobuf writes that, and it and others read it as an integer,
// without its sign.
std::string WithSignedZeros(absl::string_view json) {
  std::string out;
  bool is_text = false;
  for (size_t i = 0; i < json.size(); ++i) {
    out += json[i];
    if (json[i] == '"') is_text = !is_text;
    if (is_text && json[i] == '\\' && i + 1 < json.size()) out += json[++i];
    if (is_text || json[i] != '-' || !IsNegativeZero(json, i)) continue;
    out += "0.0";
    ++i;
  }
  return out;
}

absl::Status ReadJson(const std::string& content, const std::string& source,
                      proto::Graph* message) {
  const auto status =
      google::protobuf::util::JsonStringToMessage(WithSignedZeros(content), message);
  if (status.ok()) return absl::OkStatus();
  // Of JSON that is no graph protobuf names the field, but of other text it shows a piece and no
  // place.
  const std::string syntax = JsonSyntaxError(content);
  if (!syntax.empty()) return Invalid(source, syntax);
  return Invalid(source, AtJson(content, std::string(status.message())));
}

absl::Status ReadTextProto(const std::string& content, const std::string& source,
                           proto::Graph* message) {
  google::protobuf::TextFormat::Parser parser;
  FirstError error;
  parser.RecordErrorsTo(&error);
  if (parser.ParseFromString(content, message)) return absl::OkStatus();
  return Invalid(source, error.text());
}

// Where the first field of a serialised message is that is not whole.
std::string BrokenField(const std::string& content) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(content.data()),
                                            static_cast<int>(content.size()));
  while (true) {
    const int start = in.CurrentPosition();
    const uint32_t tag = in.ReadTag();
    if (tag == 0) return absl::StrCat("no field begins at byte ", start);
    uint32_t size = 0;
    if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      if (!WireFormatLite::SkipField(&in, tag))
        return absl::StrCat("it breaks off at byte ", start);
      continue;
    }
    if (!in.ReadVarint32(&size)) return absl::StrCat("it breaks off at byte ", start);
    const size_t left = content.size() - static_cast<size_t>(in.CurrentPosition());
    if (size > left) {
      return absl::StrCat("it is truncated: the field at byte ", start, " has ", size,
                          " bytes, and ", left, " are left");
    }
    if (!in.Skip(static_cast<int>(size))) return absl::StrCat("it breaks off at byte ", start);
    if (left == size) return absl::StrCat("something in the field at byte ", start, " is broken");
  }
}

absl::Status ReadBinary(const std::string& content, const std::string& source,
                        proto::Graph* message) {
  const google::protobuf::LogSilencer no_complaints_about_utf8;
  if (message->ParseFromString(content)) return absl::OkStatus();
  const std::string what = DescribeFile(absl::string_view(content).substr(0, kTellingBytes));
  constexpr absl::string_view kBinary = "is a graph in binary form";
  if (absl::StartsWith(what, kBinary)) {
    return Invalid(source, absl::StrCat(" ", kBinary, ", but ", BrokenField(content)));
  }
  return Invalid(source, absl::StrCat(" is no graph: it ", what,
                                      ". A graph has a line 'graph NAME', or is JSON, text proto "
                                      "or a serialised graph"));
}

}  // namespace

absl::StatusOr<Graph> ReadGraph(const std::string& content, const std::string& source) {
  // A serialised graph may look like any form: it begins with a line end and the name's length.
  if (absl::StartsWith(content, "\n")) {
    proto::Graph message;
    if (ReadBinary(content, source, &message).ok()) {
      absl::StatusOr<Graph> graph = FromProto(message);
      if (graph.ok()) return graph;
    }
  }
  const absl::string_view start = absl::StripLeadingAsciiWhitespace(content);
  if (start.empty()) return Invalid(source, " is empty, expected a graph");
  if (absl::StartsWith(start, "graph ") || absl::StartsWith(start, "//")) {
    return Parse(content, source);
  }
  const auto read = absl::StartsWith(start, "{")       ? ReadJson
                    : absl::StartsWith(start, "name:") ? ReadTextProto
                                                       : ReadBinary;
  proto::Graph message;
  if (absl::Status status = read(content, source, &message); !status.ok()) return status;
  absl::StatusOr<Graph> graph = FromProto(message);
  if (graph.ok()) return graph;
  std::vector<std::string> lines = absl::StrSplit(graph.status().message(), '\n');
  for (size_t i = 0; i < std::min(lines.size(), ErrorList::kMaxShown); ++i) {
    lines[i] = absl::StrCat(
        source, ":", read == ReadJson ? AtJson(content, lines[i]) : absl::StrCat(" ", lines[i]));
  }
  return absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
}

absl::StatusOr<std::string> WriteGraph(const Graph& graph, absl::string_view form) {
  if (form == "text") return Print(graph);
  const proto::Graph message = ToProto(graph);
  std::string out;
  bool done = false;
  if (form == "textproto") {
    done = google::protobuf::TextFormat::PrintToString(message, &out);
  } else if (form == "json") {
    google::protobuf::util::JsonPrintOptions options;
    options.add_whitespace = true;
    options.preserve_proto_field_names = true;
    done = google::protobuf::util::MessageToJsonString(message, &out, options).ok();
    out = WithSignedZeros(out);
  } else if (form == "proto") {
    done = message.SerializeToString(&out);
  } else {
    return absl::NotFoundError(absl::StrCat("unknown form '", form, "' of a graph, expected ",
                                            absl::StrJoin(kWholeForms, ", ")));
  }
  if (!done) return absl::InternalError(absl::StrCat("cannot write the graph as ", form));
  return out;
}

}  // namespace sluice
