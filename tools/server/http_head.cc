#include "tools/server/http_head.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace sluice::server {
namespace {

// Of these a second one would be another meaning.
constexpr absl::string_view kSingle[] = {"host",          "content-length", "content-type",
                                         "authorization", "origin",         "expect"};

bool IsDigits(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c));
  });
}

int HexDigit(char c) {
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  if (lower >= '0' && lower <= '9') return lower - '0';
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool IsTargetChar(char c) {
  return c > ' ' && c <= '~' && absl::string_view("\"#<>\\").find(c) == absl::string_view::npos;
}

// None if it has what is no part of a target.
std::optional<std::string> Decode(absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!IsTargetChar(text[i])) return std::nullopt;
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return std::nullopt;
    decoded.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return decoded;
}

bool IsName(absl::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
  });
}

bool IsBracketed(absl::string_view host) {
  return absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]") && !host.empty() &&
         std::all_of(host.begin(), host.end(),
                     [](char c) { return HexDigit(c) >= 0 || c == ':' || c == '.'; });
}

// ":8080", or nothing of it.
bool IsPort(absl::string_view text) {
  if (text.empty() || text == ":") return true;
  int number = 0;
  return absl::ConsumePrefix(&text, ":") && IsDigits(text) && text.size() <= 5 &&
         absl::SimpleAtoi(text, &number) && number <= 65535;
}

// RFC 9112, 3.2: a path, or a whole address as proxies send it, or the * of OPTIONS.
bool ReadTarget(absl::string_view target, HttpHead* head) {
  if (target == "*") {
    head->path = "*";
    return head->method == "OPTIONS";
  }
  constexpr absl::string_view kHttp = "http://";
  std::string whole;
  if (absl::StartsWithIgnoreCase(target, kHttp)) {
    const absl::string_view rest = target.substr(kHttp.size());
    const size_t end = std::min(rest.find_first_of("/?"), rest.size());
    head->authority = HttpAuthority::Parse(rest.substr(0, end));
    if (!head->authority.has_value()) return false;
    whole = absl::StrCat(end < rest.size() && rest[end] == '/' ? "" : "/", rest.substr(end));
    target = whole;
  }
  if (!absl::StartsWith(target, "/")) return false;
  const size_t question = std::min(target.find('?'), target.size());
  const std::optional<std::string> path = Decode(target.substr(0, question));
  if (!path.has_value() || !Decode(target.substr(question)).has_value()) return false;
  head->path = *path;
  return true;
}

Refusal ReadRequestLine(absl::string_view line, HttpHead* head) {
  const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
  if (parts.size() != 3 || !IsToken(parts[0])) {
    return {400, "the first line is no request: expected METHOD PATH HTTP/1.1"};
  }
  head->method = std::string(parts[0]);
  const absl::string_view version = parts[2];
  if (!absl::StartsWith(version, "HTTP/") || version.size() != 8 || version[6] != '.' ||
      !IsDigits(version.substr(5, 1)) || !IsDigits(version.substr(7, 1))) {
    return {400, "the first line does not end with a version, expected HTTP/1.1"};
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return {505, absl::StrCat(version, " is not spoken here, expected HTTP/1.1 or HTTP/1.0")};
  }
  head->minor_version = version[7] - '0';
  if (head->method == "CONNECT") return {501, "CONNECT is not implemented: this is no proxy"};
  if (!ReadTarget(parts[1], head)) return {400, "the request's target is malformed"};
  return {};
}

Refusal ReadField(absl::string_view line, HttpHead* head) {
  if (head->fields.size() >= kMostFields) {
    return {431, absl::StrCat("the head has more than ", kMostFields, " fields")};
  }
  if (line[0] == ' ' || line[0] == '\t') return {400, "a field of the head is folded"};
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return {400, "a line of the head has no colon"};
  const absl::string_view name = line.substr(0, colon);
  if (!IsToken(name)) {
    return {400, "a field's name is no token: letters, digits and hyphens, and the colon at once"};
  }
  head->fields.push_back(
      {absl::AsciiStrToLower(name), std::string(WithoutBlanks(line.substr(colon + 1)))});
  return {};
}

Refusal ReadHost(HttpHead* head) {
  if (!head->Has("host")) {
    if (head->minor_version == 0) return {};
    return {400, "the field Host is missing"};
  }
  const std::optional<HttpAuthority> host = HttpAuthority::Parse(head->Find("host"));
  if (!host.has_value()) return {400, "the field Host is malformed, expected NAME or NAME:PORT"};
  // A whole address in the first line counts more.
  if (!head->authority.has_value()) head->authority = host;
  return {};
}

// How long the body is: RFC 9112, 6.
Refusal ReadFraming(HttpHead* head) {
  if (head->Has("transfer-encoding")) {
    if (head->Has("content-length")) {
      return {400, "the body's length is given twice: Transfer-Encoding and Content-Length"};
    }
    if (head->minor_version == 0) return {400, "HTTP/1.0 has no Transfer-Encoding"};
    int64_t count = 0;
    for (const HttpHead::Field& field : head->fields) count += field.name == "transfer-encoding";
    if (count > 1 || !absl::EqualsIgnoreCase(head->Find("transfer-encoding"), "chunked")) {
      return {501, "this Transfer-Encoding is not implemented, expected chunked"};
    }
    head->is_chunked = true;
  }
  if (head->Has("content-length")) {
    const absl::string_view text = head->Find("content-length");
    if (!IsDigits(text)) return {400, "Content-Length is no number"};
    uint64_t length = 0;
    head->length = absl::SimpleAtoi(text, &length) ? length : std::numeric_limits<uint64_t>::max();
  }
  return {};
}

Refusal ReadConnection(HttpHead* head) {
  bool closes = false, keeps = head->minor_version >= 1;
  for (const HttpHead::Field& field : head->fields) {
    if (field.name != "connection") continue;
    for (const absl::string_view part : absl::StrSplit(field.value, ',')) {
      closes |= absl::EqualsIgnoreCase(WithoutBlanks(part), "close");
      keeps |= absl::EqualsIgnoreCase(WithoutBlanks(part), "keep-alive");
    }
  }
  head->keeps_alive = keeps && !closes;
  if (!head->Has("expect") || head->minor_version == 0) return {};
  head->expects_continue = absl::EqualsIgnoreCase(head->Find("expect"), "100-continue");
  if (head->expects_continue) return {};
  return {417, "this expectation is not met, expected 100-continue"};
}

// What the fields mean together.
Refusal ReadFields(HttpHead* head) {
  for (const absl::string_view name : kSingle) {
    int64_t count = 0;
    for (const HttpHead::Field& field : head->fields) count += field.name == name;
    if (count > 1) return {400, absl::StrCat("the field ", name, " is given more than once")};
  }
  for (const auto read : {ReadHost, ReadFraming, ReadConnection}) {
    if (Refusal refusal = read(head); refusal.status != 0) return refusal;
  }
  return {};
}

}  // namespace

std::optional<HttpAuthority> HttpAuthority::Parse(absl::string_view text) {
  const bool is_bracketed = absl::StartsWith(text, "[");
  const size_t end = std::min(is_bracketed ? text.find(']') : text.find(':'), text.size());
  const absl::string_view host = text.substr(0, is_bracketed ? end + 1 : end);
  const absl::string_view port = text.substr(host.size());
  if (!(is_bracketed ? IsBracketed(host) : IsName(host)) || !IsPort(port)) return std::nullopt;
  return HttpAuthority{absl::AsciiStrToLower(host), std::string(port.substr(port.empty() ? 0 : 1))};
}

bool HttpHead::Has(absl::string_view name) const {
  return std::any_of(fields.begin(), fields.end(),
                     [name](const Field& field) { return field.name == name; });
}

absl::string_view HttpHead::Find(absl::string_view name) const {
  for (const Field& field : fields) {
    if (field.name == name) return field.value;
  }
  return "";
}

HttpHeadReader::State HttpHeadReader::Refuse(Refusal refusal) {
  refusal_ = std::move(refusal);
  state_ = State::kRefused;
  return state_;
}

HttpLine HttpHeadReader::RestOfHead() const {
  return HttpLine(kMostHeadBytes - std::min(bytes_, kMostHeadBytes));
}

HttpHeadReader::State HttpHeadReader::Take(absl::string_view* bytes) {
  while (!bytes->empty() && (state_ == State::kBlank || state_ == State::kOpen)) {
    const size_t before = bytes->size();
    const HttpLine::State line = line_.Take(bytes);
    bytes_ += before - bytes->size();
    if (!line_.text().empty()) state_ = State::kOpen;
    if (line == HttpLine::State::kMalformed) return Refuse(MalformedLine("the head"));
    if (line == HttpLine::State::kTooLong && !has_request_line_) {
      return Refuse(
          {414, absl::StrCat("the first line has more than ", kMostTargetLine, " bytes")});
    }
    if (line == HttpLine::State::kTooLong) {
      return Refuse({431, absl::StrCat("the head has more than ", kMostHeadBytes, " bytes")});
    }
    if (line == HttpLine::State::kWhole) TakeLine();
  }
  return state_;
}

HttpHeadReader::State HttpHeadReader::TakeLine() {
  const std::string line = line_.text();
  line_.Clear();
  if (!has_request_line_) {
    if (line.empty() && !has_blank_line_) {
      // Some clients send one after a body.
      has_blank_line_ = true;
      return state_;
    }
    has_request_line_ = true;
    line_ = RestOfHead();
    if (Refusal refusal = ReadRequestLine(line, &head_); refusal.status != 0) {
      return Refuse(std::move(refusal));
    }
    return state_;
  }
  Refusal refusal = line.empty() ? ReadFields(&head_) : ReadField(line, &head_);
  if (refusal.status != 0) return Refuse(std::move(refusal));
  if (line.empty()) state_ = State::kWhole;
  line_ = RestOfHead();
  return state_;
}

}  // namespace sluice::server
