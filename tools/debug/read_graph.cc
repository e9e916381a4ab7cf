#include "tools/debug/read_graph.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "graph/attributes.h"
#include "graph/proto_io.h"
#include "graph/text.h"

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

// Finds where text is no JSON. Of JSON that is no graph protobuf names the field, but of other text
// it shows a piece and no place.
class JsonSyntax : public nlohmann::json_sax<nlohmann::json> {
 public:
  // "LINE:COLUMN: why", "" if it is JSON.
  static std::string ErrorIn(const std::string& content) {
    JsonSyntax syntax;
    nlohmann::json::sax_parse(content, &syntax);
    if (syntax.position_ == 0) return "";
    const size_t at = syntax.position_ - 1;
    const auto end = content.begin() + static_cast<ptrdiff_t>(std::min(at, content.size()));
    const auto begin = std::find(std::make_reverse_iterator(end), content.rend(), '\n').base();
    return absl::StrCat(
        std::count(content.begin(), end, '\n') + 1, ":", end - begin + 1, ": unexpected ",
        at < content.size() ? Quote(content.substr(at, 1)) : std::string("end"), " in JSON");
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    position_ = std::max<size_t>(position, 1);
    return false;
  }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }

 private:
  size_t position_ = 0;  // bytes read, the wrong one among them; 0: no error
};

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
  const std::string syntax = JsonSyntax::ErrorIn(content);
  if (!syntax.empty()) return Invalid(source, syntax);
  return Invalid(source, absl::StrCat(" ", std::string(status.message())));
}

absl::Status ReadTextProto(const std::string& content, const std::string& source,
                           proto::Graph* message) {
  google::protobuf::TextFormat::Parser parser;
  FirstError error;
  parser.RecordErrorsTo(&error);
  if (parser.ParseFromString(content, message)) return absl::OkStatus();
  return Invalid(source, error.text());
}

absl::Status ReadBinary(const std::string& content, const std::string& source,
                        proto::Graph* message) {
  const google::protobuf::LogSilencer no_complaints_about_utf8;
  if (message->ParseFromString(content)) return absl::OkStatus();
  return Invalid(source,
                 " is no graph: expected a line 'graph NAME', JSON, text proto or a serialised "
                 "graph");
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
  return absl::Status(graph.status().code(), absl::StrCat(source, ": ", graph.status().message()));
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
