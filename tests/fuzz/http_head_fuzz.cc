// libFuzzer target: any bytes are read as a request or refused with a status that a client can be
// sent, however they are cut into pieces, and what is read keeps to the bounds and is unambiguous.
// The seed corpus is tests/data/http. The first byte says where the bytes are cut.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/fuzz_vocabulary.h"
#include "tools/server/http_body.h"
#include "tools/server/http_gate.h"
#include "tools/server/http_head.h"

namespace sluice::server {
namespace {

constexpr uint64_t kMostBody = 100;

struct Outcome {
  HttpHeadReader::State state = HttpHeadReader::State::kBlank;
  HttpHead head;
  int status = 0;  // of a refusal
  bool is_whole = false;
  std::string body, rest;
};

// Reads `text` in pieces of `step` bytes.
Outcome Read(absl::string_view text, size_t step) {
  Outcome outcome;
  HttpHeadReader reader;
  std::optional<HttpBodyReader> body;
  HttpBodyReader::State state = HttpBodyReader::State::kOpen;
  for (size_t at = 0; at < text.size(); at += step) {
    absl::string_view piece = text.substr(at, step);
    outcome.state = reader.Take(&piece);
    if (outcome.state == HttpHeadReader::State::kWhole) {
      if (!body.has_value()) body.emplace(reader.head(), kMostBody);
      state = body->Take(&piece, &outcome.body);
    }
    outcome.rest.append(piece.data(), piece.size());
  }
  outcome.head = reader.head();
  outcome.status = reader.refusal().status;
  if (body.has_value()) outcome.status = body->refusal().status;
  outcome.is_whole = state == HttpBodyReader::State::kWhole;
  return outcome;
}

void CheckHead(const HttpHead& head) {
  Require(IsToken(head.method), "a method is a token");
  Require(head.path == "*" || head.path[0] == '/', "a path begins with a slash");
  Require(head.fields.size() <= kMostFields, "few fields");
  Require(head.minor_version == 0 || head.authority.has_value(), "HTTP/1.1 names the server");
  Require(!head.is_chunked || !head.length.has_value(), "a body has one end");
  for (const HttpHead::Field& field : head.fields) {
    Require(IsToken(field.name), "a name is a token");
    for (const char c : field.value) {
      Require(c != '\0' && c != '\r' && c != '\n' && c != '\x1b', "values are one line");
    }
  }
}

void CheckGate(const HttpHead& head) {
  static const std::vector<Route> routes = {{"GET", "/"}, {"POST", "/echo"}};
  static const HttpOptions options = {.cors_origins = {"http://a.example"}};
  const HttpGate::Verdict verdict = HttpGate(options, routes).Judge(head);
  Require(verdict.refusal.status == 0 ||
              (verdict.refusal.status >= 400 && !verdict.refusal.message.empty()),
          "refusals say why");
  if (verdict.refusal.status != 0 || verdict.route == nullptr || head.method != "POST") return;
  Require(head.is_chunked || head.length.has_value(), "bodies have a length");
  Require(!head.Find("content-type").empty(), "bodies have a type");
}

}  // namespace
}  // namespace sluice::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::server;  // NOLINT(google-build-using-namespace): one file's entry point
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = Read(text, std::max<size_t>(1, text.size()));
  const Outcome cut = Read(text, 1 + data[0] % 64);
  sluice::Require(whole.state == cut.state && whole.status == cut.status &&
                      whole.body == cut.body && whole.rest == cut.rest &&
                      whole.is_whole == cut.is_whole && whole.head.path == cut.head.path &&
                      whole.head.fields.size() == cut.head.fields.size(),
                  "pieces do not matter");
  sluice::Require(whole.status == 0 || (whole.status >= 400 && whole.status < 600),
                  "errors can be sent");
  sluice::Require(whole.body.size() <= kMostBody, "bodies are bounded");
  if (whole.state == HttpHeadReader::State::kWhole) {
    CheckHead(whole.head);
    CheckGate(whole.head);
  }
  return 0;
}
