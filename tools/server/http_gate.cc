#include "tools/server/http_gate.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "models/unicode/printable.h"
#include "tools/server/http_addresses.h"
#include "tools/server/http_key.h"

namespace sluice::server {
namespace {

constexpr absl::string_view kAny = "*";

bool Contains(const std::vector<std::string>& list, absl::string_view text) {
  return std::any_of(list.begin(), list.end(), [text](const std::string& entry) {
    return absl::EqualsIgnoreCase(entry, text);
  });
}

// What of the path the * of a route's stands for, if it is the route's.
std::optional<absl::string_view> RestOf(const Route& route, absl::string_view path) {
  absl::string_view begin = route.path;
  if (!absl::ConsumeSuffix(&begin, "*")) {
    return path == begin ? std::make_optional(absl::string_view()) : std::nullopt;
  }
  if (!absl::ConsumePrefix(&path, begin) || path.empty()) return std::nullopt;
  return path;
}

bool IsJson(absl::string_view content_type) {
  const absl::string_view type = content_type.substr(0, content_type.find(';'));
  return absl::EqualsIgnoreCase(WithoutBlanks(type), "application/json");
}

// Whether a page has the address that the request went to.
bool IsSameOrigin(absl::string_view origin, const HttpAuthority& authority) {
  const bool is_https = absl::ConsumePrefix(&origin, "https://");
  if (!is_https && !absl::ConsumePrefix(&origin, "http://")) return false;
  const std::optional<HttpAuthority> page = HttpAuthority::Parse(origin);
  const auto port = [is_https](const HttpAuthority& of) {
    return !of.port.empty() ? of.port : is_https ? "443" : "80";
  };
  return page.has_value() && page->host == authority.host && port(*page) == port(authority);
}

// What a body must be like, before it is read.
Refusal CheckBody(const HttpHead& head) {
  if (head.Has("content-encoding") &&
      !absl::EqualsIgnoreCase(head.Find("content-encoding"), "identity")) {
    return {415, "the body is compressed, expected plain JSON"};
  }
  if (head.method != "POST") return {};
  if (!head.length.has_value() && !head.is_chunked) {
    return {411, "the body's length is missing: Content-Length"};
  }
  if (IsJson(head.Find("content-type"))) return {};
  return {415,
          absl::StrCat("Content-Type is '", Printable(head.Find("content-type")),
                       "', expected application/json: without it any page could ask in the name of "
                       "who reads it")};
}

Refusal CheckKey(const std::vector<std::string>& keys, const HttpHead& head) {
  if (keys.empty() || IsAnyKey(keys, KeyIn(head.Find("authorization")))) return {};
  return {401, "the API key is missing or wrong, expected the header `Authorization: Bearer KEY`"};
}

bool IsKnownMethod(absl::string_view method) {
  constexpr absl::string_view kKnown[] = {"GET",    "HEAD",    "POST",  "PUT",
                                          "DELETE", "OPTIONS", "PATCH", "TRACE"};
  return std::find(std::begin(kKnown), std::end(kKnown), method) != std::end(kKnown);
}

// A browser asks whether a page of another origin may ask.
bool IsPreflight(const HttpHead& head) {
  return head.method == "OPTIONS" && head.Has("origin") &&
         head.Has("access-control-request-method");
}

}  // namespace

const Route* HttpGate::Find(absl::string_view method, absl::string_view path) const {
  for (const Route& route : routes_) {
    if (RestOf(route, path).has_value() && route.method == (method == "HEAD" ? "GET" : method)) {
      return &route;
    }
  }
  return nullptr;
}

void HttpGate::FindPath(absl::string_view path, Verdict* verdict) const {
  for (const Route& route : routes_) {
    const std::optional<absl::string_view> rest = RestOf(route, path);
    if (!rest.has_value()) continue;
    verdict->path = route.path;
    verdict->rest = std::string(*rest);
    return;
  }
}

std::string HttpGate::MethodsOf(absl::string_view path) const {
  std::vector<std::string> methods;
  for (const absl::string_view method : {"GET", "HEAD", "POST"}) {
    const bool is_known = std::any_of(routes_.begin(), routes_.end(), [&](const Route& route) {
      return (path == kAny || RestOf(route, path).has_value()) &&
             route.method == (method == "HEAD" ? "GET" : method);
    });
    if (is_known) methods.emplace_back(method);
  }
  if (!methods.empty()) methods.emplace_back("OPTIONS");
  return absl::StrJoin(methods, ", ");
}

// A page can get itself a name that points to this machine, and then be taken for the server's own
// (DNS rebinding); but it cannot choose an address, or one of these names. It does not know a key.
Refusal HttpGate::CheckHost(const HttpHead& head) const {
  if (!options_.api_keys.empty() || !head.authority.has_value()) return {};
  const absl::string_view host = absl::StripSuffix(head.authority->host, ".");
  if (host == "localhost" || IsAddress(host) || absl::EqualsIgnoreCase(host, options_.host) ||
      Contains(options_.allowed_hosts, host) || Contains(options_.allowed_hosts, kAny)) {
    return {};
  }
  return {403, absl::StrCat("'", Printable(host),
                            "' is no name of this server: --allowed-hosts adds one, and a server "
                            "with an API key takes all")};
}

bool HttpGate::IsCorsOrigin(absl::string_view origin) const {
  return !origin.empty() &&
         (Contains(options_.cors_origins, origin) || Contains(options_.cors_origins, kAny));
}

Refusal HttpGate::CheckOrigin(const HttpHead& head) const {
  if (!options_.api_keys.empty()) return {};
  const absl::string_view origin = head.Find("origin"), site = head.Find("sec-fetch-site");
  if (head.Has("origin")) {
    if (IsCorsOrigin(origin)) return {};
    if (head.authority.has_value() && IsSameOrigin(origin, *head.authority)) return {};
  } else if (site.empty() || site == "same-origin" || site == "none" ||
             head.Find("sec-fetch-mode") == "navigate") {
    // A link may lead here. Images and scripts of other pages have no origin, but a site.
    return {};
  }
  return {403, absl::StrCat("a page of another origin ('", Printable(origin),
                            "') may not ask: --cors-origins allows one")};
}

void HttpGate::AddCors(const HttpHead& head, Verdict* verdict) const {
  if (options_.cors_origins.empty()) return;
  const bool is_any = Contains(options_.cors_origins, kAny);
  if (!is_any) verdict->headers.emplace_back("Vary", "Origin");
  const absl::string_view origin = head.Find("origin");
  if (!IsCorsOrigin(origin)) return;
  verdict->headers.emplace_back("Access-Control-Allow-Origin", is_any ? kAny : origin);
  verdict->headers.emplace_back("Access-Control-Expose-Headers", kAny);
}

HttpGate::Verdict HttpGate::Judge(const HttpHead& head) const {
  Verdict verdict;
  const auto refuse = [&verdict](Refusal refusal) {
    verdict.refusal = std::move(refusal);
    return verdict;
  };
  FindPath(head.path, &verdict);
  AddCors(head, &verdict);
  for (Refusal refusal : {CheckHost(head), CheckOrigin(head)}) {
    if (refusal.status != 0) return refuse(std::move(refusal));
  }
  const std::string methods = MethodsOf(head.path);
  if (IsPreflight(head) && IsCorsOrigin(head.Find("origin"))) {
    verdict.headers.emplace_back("Access-Control-Allow-Methods", "GET, HEAD, POST");
    verdict.headers.emplace_back("Access-Control-Allow-Headers",
                                 std::string(head.Find("access-control-request-headers")));
    verdict.headers.emplace_back("Access-Control-Max-Age", "600");
    return verdict;
  }
  const Route* const route = Find(head.method, head.path);
  if (route == nullptr || !route->is_open) {
    if (Refusal refusal = CheckKey(options_.api_keys, head); refusal.status != 0) {
      // The page asks for the key as a browser does; programs are told what they expect.
      verdict.headers.emplace_back(
          "WWW-Authenticate",
          head.path == "/" ? "Basic realm=\"the API key as password\"" : "Bearer");
      return refuse(std::move(refusal));
    }
  }
  if (!IsKnownMethod(head.method)) {
    return refuse({501, absl::StrCat("the method ", Printable(head.method), " is not known")});
  }
  if (methods.empty()) {
    return refuse({404, absl::StrCat("there is no ", Printable(head.path))});
  }
  if (route == nullptr) {
    verdict.headers.emplace_back("Allow", methods);
    if (head.method == "OPTIONS") return verdict;
    return refuse({405, absl::StrCat(Printable(head.path), " does not take ",
                                     Printable(head.method), ", but ", methods)});
  }
  verdict.route = route;
  Refusal refusal = CheckBody(head);
  if (refusal.status == 415) {
    verdict.headers.emplace_back("Accept", "application/json");
    verdict.headers.emplace_back("Accept-Encoding", "identity");
  }
  return refuse(std::move(refusal));
}

absl::Status CheckHttpOptions(const HttpOptions& options) {
  for (const std::string& key : options.api_keys) {
    const std::string fault = FaultOfKey(key);
    if (!fault.empty()) return absl::InvalidArgumentError(absl::StrCat("an API key: ", fault));
  }
  for (const std::string& host : options.allowed_hosts) {
    const auto name = HttpAuthority::Parse(host);
    if (host == kAny || (name.has_value() && name->host.size() == host.size())) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("allowed hosts: '", host, "' is no name, expected one without a port, or *"));
  }
  for (const std::string& origin : options.cors_origins) {
    absl::string_view place = origin;
    const bool has_scheme =
        absl::ConsumePrefix(&place, "https://") || absl::ConsumePrefix(&place, "http://");
    if (origin == kAny || origin == "null" ||
        (has_scheme && HttpAuthority::Parse(place).has_value())) {
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("CORS origins: '", origin,
                     "' is no origin, expected http://NAME:PORT without a path, null, or *"));
  }
  return absl::OkStatus();
}

}  // namespace sluice::server
