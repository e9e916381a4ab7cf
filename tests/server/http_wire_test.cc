// What the server answers to bytes on a socket, and whether the connection stays: RFC 9112 and
// 9110, row by row.
#include <gmock/gmock.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "tests/support/http_served.h"

namespace sluice::server {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

constexpr bool kStays = true, kCloses = false;
constexpr absl::string_view kAsk = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Row {
  const char* name;
  std::string bytes;
  std::vector<int> statuses;
  bool stays;
};

// A request to /health with these lines besides, each with its CRLF.
std::string Get(absl::string_view lines) {
  return absl::StrCat("GET /health HTTP/1.1\r\nHost: localhost\r\n", lines, "\r\n");
}
std::string To(absl::string_view target) {
  return absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
}
std::string From(absl::string_view host_lines) {
  return absl::StrCat("GET /health HTTP/1.1\r\n", host_lines, "\r\n");
}
std::string Post(absl::string_view lines, absl::string_view body = "hello") {
  return absl::StrCat(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n", lines, "\r\n",
      body);
}
std::string Chunked(absl::string_view body) { return Post("Transfer-Encoding: chunked\r\n", body); }
std::string Typed(absl::string_view type_lines) {
  return absl::StrCat("POST /echo HTTP/1.1\r\nHost: localhost\r\n", type_lines,
                      "Content-Length: 2\r\n\r\n{}");
}
std::string Fields(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) absl::StrAppend(&lines, "X-", i, ": 1\r\n");
  return lines;
}
std::string Long(size_t size) { return absl::StrCat("X: ", std::string(size, 'x'), "\r\n"); }
// A body that reads like a request.
std::string Hidden() { return std::string(kAsk); }
std::string HiddenLength() { return absl::StrCat("Content-Length: ", kAsk.size(), "\r\n"); }

std::vector<Row> Served() {
  return {
      {"a request", To("/health"), {200}, kStays},
      {"HEAD", "HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n", {200}, kStays},
      {"OPTIONS", "OPTIONS /health HTTP/1.1\r\nHost: localhost\r\n\r\n", {204}, kStays},
      {"OPTIONS of all", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", {204}, kStays},
      {"a whole address", To("http://localhost:1/health"), {200}, kStays},
      {"a whole address in capitals", To("HTTP://LOCALHOST/health"), {200}, kStays},
      {"a whole address without path", To("http://localhost?a=b"), {200}, kStays},
      {"a query", To("/health?a=b&c=%20[|]{}^`"), {200}, kStays},
      {"an escaped letter", To("/%68ealth"), {200}, kStays},
      {"names in capitals", From("HOST: localhost\r\n"), {200}, kStays},
      {"no blank after a colon", From("Host:localhost\r\n"), {200}, kStays},
      {"blanks around a value", From("Host: \t localhost \t \r\n"), {200}, kStays},
      {"an empty value", Get("X:\r\n"), {200}, kStays},
      {"a tab in a value", Get("X: a\tb\r\n"), {200}, kStays},
      {"bytes beyond ASCII in a value", Get("X: \x80\xFF\r\n"), {200}, kStays},
      {"any token as a name", Get("!#$%&'*+-.^_`|~09azAZ: 1\r\n"), {200}, kStays},
      {"the same name twice", Get("X: 1\r\nX: 2\r\n"), {200}, kStays},
      {"a blank line before it", absl::StrCat("\r\n", kAsk), {200}, kStays},
      {"as many fields as may be", Get(Fields(127)), {200}, kStays},
      {"a long field", Get(Long(30000)), {200}, kStays},
      {"a long target", To("/health?" + std::string(8000, 'a')), {200}, kStays},
      {"an upgrade that nobody knows",
       Get("Connection: Upgrade\r\nUpgrade: h2c\r\n"),
       {200},
       kStays},
      {"a range", Get("Range: bytes=0-0\r\n"), {200}, kStays},
      {"a port", From("Host: localhost:65535\r\n"), {200}, kStays},
      {"an empty port", From("Host: localhost:\r\n"), {200}, kStays},
      {"a name in capitals with a dot", From("Host: LocalHost.\r\n"), {200}, kStays},
      {"an address", From("Host: 192.0.2.7:80\r\n"), {200}, kStays},
      {"an IPv6 address", From("Host: [::1]:8080\r\n"), {200}, kStays},
      {"two requests", absl::StrCat(kAsk, kAsk), {200, 200}, kStays},
      {"one that waits, and another", Post("Content-Length: 5\r\n") + Hidden(), {200, 200}, kStays},
      {"a wrong path, and another", To("/nonesuch") + Hidden(), {404, 200}, kStays},
      {"no such path", To("/nonesuch"), {404}, kStays},
      {"a path that climbs", To("/x/../health"), {404}, kStays},
      {"a NUL in a path", To("/health%00"), {404}, kStays},
      {"a method that it lacks", To("/echo"), {405}, kStays},
      {"DELETE", "DELETE /health HTTP/1.1\r\nHost: localhost\r\n\r\n", {405}, kStays},
      {"no such method", "BREW /health HTTP/1.1\r\nHost: localhost\r\n\r\n", {501}, kStays},
      {"a method in small letters",
       "get /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
       {501},
       kStays},
      {"the last one", Get("Connection: close\r\n"), {200}, kCloses},
      {"the last one, in a list", Get("Connection: x, Close\r\n"), {200}, kCloses},
      {"HTTP/1.0", "GET /health HTTP/1.0\r\n\r\n", {200}, kCloses},
      {"HTTP/1.0 that stays",
       "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
       {200},
       kStays},
      {"HTTP/1.0 with another name",
       "GET /health HTTP/1.0\r\nHost: evil.example\r\n\r\n",
       {403},
       kCloses},
  };
}

std::vector<Row> Bodies() {
  return {
      {"a body", Post("Content-Length: 5\r\n"), {200}, kStays},
      {"zeros in front of a length", Post("Content-Length: 0005\r\n"), {200}, kStays},
      {"blanks around a length", Post("Content-Length: \t5 \r\n"), {200}, kStays},
      {"an empty body", Post("Content-Length: 0\r\n", ""), {200}, kStays},
      {"a body of GET", Get("Content-Length: 5\r\n") + "hello", {200}, kStays},
      {"a type with a charset",
       Typed("Content-Type: Application/JSON ; charset=utf-8\r\n"),
       {200},
       kStays},
      {"a body that is not compressed",
       Post("Content-Length: 5\r\nContent-Encoding: identity\r\n"),
       {200},
       kStays},
      {"a chunk", Chunked("5\r\nhello\r\n0\r\n\r\n"), {200}, kStays},
      {"coding in capitals", Post("Transfer-Encoding: Chunked\r\n", "0\r\n\r\n"), {200}, kStays},
      {"several chunks", Chunked("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), {200}, kStays},
      {"digits of a size",
       Chunked("0000a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n"),
       {200},
       kStays},
      {"extensions", Chunked("5;a\r\nhello\r\n0 ; b=\"c;d\"\r\n\r\n"), {200}, kStays},
      {"trailers",
       Chunked("5\r\nhello\r\n0\r\nX-Sum: 1\r\nHost: evil.example\r\n\r\n"),
       {200},
       kStays},
      {"chunks, and another request",
       Chunked("5\r\nhello\r\n0\r\n\r\n") + Hidden(),
       {200, 200},
       kStays},
      {"a stream",
       "POST /stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
       "application/json\r\nContent-Length: 0\r\n\r\n",
       {200},
       kStays},
      {"a stream in HTTP/1.0",
       "POST /stream HTTP/1.0\r\nConnection: keep-alive\r\nContent-Type: "
       "application/json\r\nContent-Length: 0\r\n\r\n",
       {200},
       kCloses},
      {"an expectation whose body is there",
       Post("Content-Length: 5\r\nExpect: 100-Continue\r\n"),
       {200},
       kStays},
      {"an expectation of HTTP/1.0",
       "POST /echo HTTP/1.0\r\nContent-Type: application/json\r\nExpect: x\r\nContent-Length: "
       "2\r\n\r\n{}",
       {200},
       kCloses},
      // Refused before they are read.
      {"no length", Post("", ""), {411}, kCloses},
      {"no length, and what may be a body", Post("", kAsk), {411}, kCloses},
      {"too long", Post("Content-Length: 1001\r\n"), {413}, kCloses},
      {"longer than any number",
       Post("Content-Length: 99999999999999999999999\r\n"),
       {413},
       kCloses},
      {"a chunk that is too long", Chunked("3e9\r\n"), {413}, kCloses},
      {"a chunk beyond all", Chunked("ffffffffffffffff\r\n"), {413}, kCloses},
      {"chunks that are too long together", Chunked("1\r\na\r\n3e8\r\n"), {413}, kCloses},
      {"no type", Typed(""), {415}, kCloses},
      {"text", Typed("Content-Type: text/plain\r\n"), {415}, kCloses},
      {"a form", Typed("Content-Type: multipart/form-data; boundary=x\r\n"), {415}, kCloses},
      {"a form of letters",
       Typed("Content-Type: application/x-www-form-urlencoded\r\n"),
       {415},
       kCloses},
      {"a type that begins alike", Typed("Content-Type: application/jsonp\r\n"), {415}, kCloses},
      {"JSON as a parameter",
       Typed("Content-Type: text/plain; application/json\r\n"),
       {415},
       kCloses},
      {"a compressed body",
       Post("Content-Length: 5\r\nContent-Encoding: gzip\r\n"),
       {415},
       kCloses},
      {"an expectation that nobody knows",
       Post("Content-Length: 5\r\nExpect: the best\r\n"),
       {417},
       kCloses},
  };
}

std::vector<Row> Lines() {
  return {
      {"no request", "nonsense\r\n\r\n", {400}, kCloses},
      {"TLS", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), {400}, kCloses},
      {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {505}, kCloses},
      {"HTTP/0.9", "GET /health\r\n", {400}, kCloses},
      {"HTTP/1.2", "GET /health HTTP/1.2\r\nHost: localhost\r\n\r\n", {505}, kCloses},
      {"HTTP/3.0", "GET /health HTTP/3.0\r\nHost: localhost\r\n\r\n", {505}, kCloses},
      {"a version in small letters",
       "GET /health http/1.1\r\nHost: localhost\r\n\r\n",
       {400},
       kCloses},
      {"half a version", "GET /health HTTP/1\r\nHost: localhost\r\n\r\n", {400}, kCloses},
      {"a long version", "GET /health HTTP/1.10\r\nHost: localhost\r\n\r\n", {400}, kCloses},
      {"two blanks", "GET  /health HTTP/1.1\r\nHost: localhost\r\n\r\n", {400}, kCloses},
      {"a blank at the end", "GET /health HTTP/1.1 \r\nHost: localhost\r\n\r\n", {400}, kCloses},
      {"a blank in front", " GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", {400}, kCloses},
      {"a tab", "GET\t/health HTTP/1.1\r\nHost: localhost\r\n\r\n", {400}, kCloses},
      {"no method", " /health HTTP/1.1\r\nHost: localhost\r\n\r\n", {400}, kCloses},
      {"a method that is no token",
       "G(T /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
       {400},
       kCloses},
      {"two blank lines", absl::StrCat("\r\n\r\n", kAsk), {400}, kCloses},
      {"CONNECT", "CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", {501}, kCloses},
      {"a path without a slash", To("health"), {400}, kCloses},
      {"a star for GET", To("*"), {400}, kCloses},
      {"a fragment", To("/health#a"), {400}, kCloses},
      {"a quote", To("/health?\""), {400}, kCloses},
      {"a backslash", To("/\\health"), {400}, kCloses},
      {"bytes beyond ASCII in a path", To("/h\xC3\xA9"), {400}, kCloses},
      {"a bad escape", To("/%zz"), {400}, kCloses},
      {"half an escape", To("/health%4"), {400}, kCloses},
      {"a bad escape in a query", To("/health?%"), {400}, kCloses},
      {"another scheme", To("https://localhost/health"), {400}, kCloses},
      {"an address of nobody", To("http:///health"), {400}, kCloses},
      {"an address with a user", To("http://a@localhost/health"), {400}, kCloses},
      {"a target that is too long", To("/" + std::string(9000, 'a')), {414}, kCloses},
      {"a method that does not end", std::string(9000, 'A'), {414}, kCloses},
      {"line feeds alone", "GET /health HTTP/1.1\nHost: localhost\n\n", {400}, kCloses},
      {"a line feed alone", Get("X: 1\nY: 2\r\n"), {400}, kCloses},
      {"a line feed at the end", "GET /health HTTP/1.1\r\nHost: localhost\r\n\n", {400}, kCloses},
      {"a return alone", Get("X: a\rb\r\n"), {400}, kCloses},
      {"two returns", "GET /health HTTP/1.1\r\r\nHost: localhost\r\n\r\n", {400}, kCloses},
  };
}

std::vector<Row> FieldLines() {
  const std::string nul(1, '\0');
  return {
      {"a NUL in a value", Get("X: a" + nul + "b\r\n"), {400}, kCloses},
      {"a NUL in a name", Get("X" + nul + ": a\r\n"), {400}, kCloses},
      {"a NUL in the first line", To("/health" + nul), {400}, kCloses},
      {"an escape character", Get("X: \x1b[31m\r\n"), {400}, kCloses},
      {"a vertical tab", Get("X: \v\r\n"), {400}, kCloses},
      {"DEL", Get("X: \x7f\r\n"), {400}, kCloses},
      {"no colon", Get("X\r\n"), {400}, kCloses},
      {"no name", Get(": 1\r\n"), {400}, kCloses},
      {"a name that is no token", Get("X[]: 1\r\n"), {400}, kCloses},
      {"a name beyond ASCII", Get("\xC3\xA9: 1\r\n"), {400}, kCloses},
      {"a blank before a colon", Get("X : 1\r\n"), {400}, kCloses},
      {"a folded field", Get("X: 1\r\n 2\r\n"), {400}, kCloses},
      {"a folded first field", From(" Host: localhost\r\n"), {400}, kCloses},
      {"a folded length", Post("Content-Length:\r\n 5\r\n"), {400}, kCloses},
      {"too many fields", Get(Fields(128)), {431}, kCloses},
      {"a field that is too long", Get(Long(33000)), {431}, kCloses},
      {"a field that does not end",
       "GET /health HTTP/1.1\r\n" + Long(40000).substr(0, 40000),
       {431},
       kCloses},
      {"a head that is too long", Get(Long(20000) + Long(20000)), {431}, kCloses},
      {"no Host", From(""), {400}, kCloses},
      {"two Hosts", From("Host: localhost\r\nHost: evil.example\r\n"), {400}, kCloses},
      {"the same Host twice", From("Host: localhost\r\nhost: localhost\r\n"), {400}, kCloses},
      {"an empty Host", From("Host:\r\n"), {400}, kCloses},
      {"a list of Hosts", From("Host: localhost, evil.example\r\n"), {400}, kCloses},
      {"a Host with a path", From("Host: localhost/x\r\n"), {400}, kCloses},
      {"a Host with a user", From("Host: a@localhost\r\n"), {400}, kCloses},
      {"a port that is none", From("Host: localhost:http\r\n"), {400}, kCloses},
      {"a port beyond all", From("Host: localhost:65536\r\n"), {400}, kCloses},
      {"half an IPv6 address", From("Host: [::1\r\n"), {400}, kCloses},
      {"a bare IPv6 address", From("Host: ::1\r\n"), {400}, kCloses},
      {"a Host beside a whole address",
       "GET http://localhost/health HTTP/1.1\r\n\r\n",
       {400},
       kCloses},
      {"two types", Post("Content-Length: 5\r\nContent-Type: text/plain\r\n"), {400}, kCloses},
      {"two keys", Get("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), {400}, kCloses},
      {"two origins",
       Get("Origin: http://localhost\r\nOrigin: http://a.example\r\n"),
       {400},
       kCloses},
  };
}

// What is read in two ways by two programs.
std::vector<Row> Framing() {
  const std::string length = HiddenLength();
  return {
      {"a blank before the colon of a length",
       Post("Content-Length : 44\r\n", kAsk),
       {400},
       kCloses},
      {"a tab before the colon of a length",
       Post("Content-Length\t: 44\r\n", kAsk),
       {400},
       kCloses},
      {"a blank before the colon of a coding",
       Post("Transfer-Encoding : chunked\r\n", kAsk),
       {400},
       kCloses},
      {"an empty length", Post("Content-Length:\r\n", kAsk), {400}, kCloses},
      {"a length with a plus", Post("Content-Length: +5\r\n"), {400}, kCloses},
      {"a length with a minus", Post("Content-Length: -5\r\n"), {400}, kCloses},
      {"a hexadecimal length", Post("Content-Length: 0x5\r\n"), {400}, kCloses},
      {"a length with a rest", Post("Content-Length: 5a\r\n"), {400}, kCloses},
      {"a fraction", Post("Content-Length: 5.0\r\n"), {400}, kCloses},
      {"two numbers", Post("Content-Length: 5 5\r\n"), {400}, kCloses},
      {"a list of lengths", Post("Content-Length: 5, 5\r\n"), {400}, kCloses},
      {"a length twice", Post("Content-Length: 5\r\nContent-Length: 5\r\n"), {400}, kCloses},
      {"two lengths", Post("Content-Length: 5\r\nContent-Length: 0\r\n"), {400}, kCloses},
      {"a length and a coding",
       Post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
       {400},
       kCloses},
      {"a coding and a length",
       Post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n"),
       {400},
       kCloses},
      {"a coding in HTTP/1.0",
       "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       {400},
       kCloses},
      {"another coding", Post("Transfer-Encoding: xchunked\r\n", kAsk), {501}, kCloses},
      {"a coding before it", Post("Transfer-Encoding: gzip, chunked\r\n", kAsk), {501}, kCloses},
      {"chunked twice", Post("Transfer-Encoding: chunked, chunked\r\n", kAsk), {501}, kCloses},
      {"chunked twice in two lines",
       Post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", kAsk),
       {501},
       kCloses},
      {"identity", Post("Transfer-Encoding: identity\r\n", kAsk), {501}, kCloses},
      {"an empty coding", Post("Transfer-Encoding:\r\n", kAsk), {501}, kCloses},
      {"a coding with a parameter",
       Post("Transfer-Encoding: chunked;q=1\r\n", kAsk),
       {501},
       kCloses},
      {"a vertical tab before it", Post("Transfer-Encoding: \vchunked\r\n", kAsk), {400}, kCloses},
      {"a size that is none", Chunked("g\r\n"), {400}, kCloses},
      {"no size", Chunked("\r\n"), {400}, kCloses},
      {"a negative size", Chunked("-1\r\n"), {400}, kCloses},
      {"a size with 0x", Chunked("0x5\r\nhello\r\n0\r\n\r\n"), {400}, kCloses},
      {"a size of many digits", Chunked("00000000000000005\r\nhello\r\n"), {400}, kCloses},
      {"a blank after a size", Chunked("5 \r\nhello\r\n0\r\n\r\n"), {400}, kCloses},
      {"a line feed after a size", Chunked("5\nhello\r\n0\r\n\r\n"), {400}, kCloses},
      {"a line feed in an extension", Chunked("5;a\nhello\r\n0\r\n\r\n"), {400}, kCloses},
      {"a chunk that is longer than it says", Chunked("5\r\nhello!\r\n0\r\n\r\n"), {400}, kCloses},
      {"a chunk without its end", Chunked("5\r\nhello0\r\n\r\n"), {400}, kCloses},
      {"a long extension", Chunked("5;" + std::string(9000, 'a')), {400}, kCloses},
      {"a trailer that is no field", Chunked("0\r\nGET /health HTTP/1.1\r\n\r\n"), {400}, kCloses},
      {"a line feed in a trailer", Chunked("0\r\nX: 1\n\r\n"), {400}, kCloses},
      {"a body of what is not there",
       absl::StrCat("POST /nonesuch HTTP/1.1\r\nHost: localhost\r\n", length, "\r\n", Hidden()),
       {404},
       kCloses},
      {"a body of GET that is not there",
       absl::StrCat("GET /nonesuch HTTP/1.1\r\nHost: localhost\r\n", length, "\r\n", Hidden()),
       {404},
       kCloses},
      {"a body of a wrong method",
       absl::StrCat("DELETE /health HTTP/1.1\r\nHost: localhost\r\n", length, "\r\n", Hidden()),
       {405},
       kCloses},
      {"a body of another type",
       absl::StrCat("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n",
                    length, "\r\n", Hidden()),
       {415},
       kCloses},
      {"a body of another host",
       absl::StrCat("POST /echo HTTP/1.1\r\nHost: evil.example\r\n", length, "\r\n", Hidden()),
       {403},
       kCloses},
      {"chunks of what is not there",
       absl::StrCat(
           "POST /nonesuch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
           Hidden()),
       {404},
       kCloses},
      {"a request as the body of GET", Get(length) + Hidden(), {200}, kStays},
      {"a request as the body of POST", Post(length, kAsk), {200}, kStays},
      {"a request as a chunk",
       Chunked(absl::StrCat(absl::Hex(kAsk.size()), "\r\n", kAsk, "\r\n0\r\n\r\n")),
       {200},
       kStays},
  };
}

std::vector<Row> Strangers() {
  return {
      {"another name", From("Host: evil.example\r\n"), {403}, kStays},
      {"another name in a whole address", To("http://evil.example/health"), {403}, kStays},
      {"a name that begins alike", From("Host: localhost.evil.example\r\n"), {403}, kStays},
      {"an address as part of a name", From("Host: 127.0.0.1.evil.example\r\n"), {403}, kStays},
      {"the page itself",
       From("Host: localhost:8080\r\nOrigin: http://localhost:8080\r\n"),
       {200},
       kStays},
      {"the page behind TLS",
       From("Host: localhost\r\nOrigin: https://localhost\r\n"),
       {200},
       kStays},
      {"a page at another port",
       From("Host: localhost:8080\r\nOrigin: http://localhost:3000\r\n"),
       {403},
       kStays},
      {"a page of another origin", Get("Origin: http://evil.example\r\n"), {403}, kStays},
      {"a page without one", Get("Origin: null\r\n"), {403}, kStays},
      {"an image of another page",
       Get("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n"),
       {403},
       kStays},
      {"a link", Get("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"), {200}, kStays},
      {"typed by a user",
       Get("Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n"),
       {200},
       kStays},
      {"may another page ask?",
       "OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: "
       "http://evil.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
       {403},
       kStays},
  };
}

std::string MethodOf(const Row& row) { return row.bytes.substr(0, row.bytes.find(' ')); }

// Says a row's bytes; where the connection is to stay, asks once more.
void Check(const HttpServed& served, const Row& row) {
  SCOPED_TRACE(row.name);
  Wire wire(served.port());
  const std::string last = Get("X-Last: 1\r\nConnection: close\r\n");
  wire.Try(row.stays ? row.bytes + last : row.bytes);
  std::vector<int> statuses;
  const std::string heard = wire.Hear();
  const std::vector<WireReply> replies = RepliesIn(heard, {MethodOf(row)});
  for (const WireReply& reply : replies) statuses.push_back(reply.status);
  std::vector<int> expected = row.statuses;
  if (row.stays) expected.push_back(200);
  EXPECT_EQ(statuses, expected) << heard;
  if (!row.stays || replies.empty()) return;
  EXPECT_EQ(replies.back().body, "ok");
}

class HttpWire : public testing::TestWithParam<std::pair<const char*, std::vector<Row> (*)()>> {};

TEST_P(HttpWire, AnswersAsTheRfcAsks) {
  HttpOptions options;
  options.most_body_bytes = 1000;
  const HttpServed served(options);
  for (const Row& row : GetParam().second()) Check(served, row);
}

INSTANTIATE_TEST_SUITE_P(
    All, HttpWire,
    testing::Values(std::make_pair("Served", Served), std::make_pair("Bodies", Bodies),
                    std::make_pair("Lines", Lines), std::make_pair("Fields", FieldLines),
                    std::make_pair("Framing", Framing), std::make_pair("Strangers", Strangers)),
    [](const auto& part) { return part.param.first; });

TEST(HttpReplies, SayWhatTheyAre) {
  const HttpServed served;
  const std::string close = "Connection: close\r\n";
  const auto ask = [&](const std::string& text) {
    const std::string method = text.substr(0, text.find(' '));
    const std::vector<WireReply> replies = RepliesIn(served.Ask(text), {method});
    EXPECT_EQ(replies.size(), 1) << text;
    return replies.empty() ? WireReply() : replies[0];
  };
  const WireReply page = ask("GET / HTTP/1.1\r\nHost: localhost\r\n" + close + "\r\n");
  EXPECT_THAT(page.head, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(page.head, HasSubstr("Content-Type: text/html\r\n"));
  EXPECT_THAT(page.head, HasSubstr("Content-Length: 4\r\n"));
  EXPECT_THAT(page.head, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(page.head, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(page.head, testing::ContainsRegex("Date: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} 20"));
  // The same head without a body.
  const WireReply head = ask("HEAD / HTTP/1.1\r\nHost: localhost\r\n" + close + "\r\n");
  EXPECT_THAT(head.head, HasSubstr("Content-Length: 4\r\n"));
  EXPECT_EQ(head.body, "");
  EXPECT_THAT(ask("OPTIONS / HTTP/1.1\r\nHost: localhost\r\n" + close + "\r\n").head,
              HasSubstr("Allow: GET, HEAD, OPTIONS\r\n"));
  const WireReply wrong = ask("GET /echo HTTP/1.1\r\nHost: localhost\r\n" + close + "\r\n");
  EXPECT_THAT(wrong.head, HasSubstr("Allow: POST, OPTIONS\r\n"));
  EXPECT_THAT(wrong.body, HasSubstr("does not take GET"));
  // A stream: in chunks, or until the connection ends.
  const std::string rest = "Content-Type: application/json\r\nContent-Length: 0\r\n\r\n";
  const WireReply chunked = ask("POST /stream HTTP/1.1\r\nHost: localhost\r\n" + close + rest);
  EXPECT_THAT(chunked.head, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_EQ(chunked.body, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
  const WireReply plain = ask("POST /stream HTTP/1.0\r\n" + rest);
  EXPECT_THAT(plain.head, Not(HasSubstr("Transfer-Encoding")));
  EXPECT_THAT(plain.head, Not(HasSubstr("Content-Length")));
  EXPECT_EQ(plain.body, "onetwo");
  // Pools of clients are told how long a connection stays.
  Wire wire(served.port());
  wire.Say(kAsk);
  EXPECT_THAT(wire.HearUntil("\r\n\r\n"), HasSubstr("Keep-Alive: timeout=75\r\n"));
}

TEST(HttpReplies, HaveNoLinesThatAHeaderBrings) {
  std::vector<Route> routes = {{"GET", "/warned", [](HttpCall&) {
                                  return HttpReply{.headers = {{"X-Warning", "a\r\nEvil: b\x7f"}}};
                                }}};
  const HttpServed served({}, std::move(routes));
  const std::string heard =
      served.Ask("GET /warned HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(heard, HasSubstr("X-Warning: a??Evil: b?\r\n"));
}

TEST(HttpReplies, ContinueOnlyForABodyThatIsTaken) {
  HttpOptions options;
  options.most_body_bytes = 1000;
  const HttpServed served(options);
  const std::string expects = "Expect: 100-continue\r\nConnection: close\r\n";
  for (const char* framing : {"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"}) {
    Wire wire(served.port());
    wire.Say(Post(absl::StrCat(framing, expects), ""));
    EXPECT_EQ(wire.HearUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    wire.Say(framing[0] == 'C' ? "hello" : "5\r\nhello\r\n0\r\n\r\n");
    const std::vector<WireReply> replies = RepliesIn(wire.Hear());
    ASSERT_EQ(replies.size(), 1);
    EXPECT_EQ(replies[0].body, "hello");
  }
  for (const Row& row : std::vector<Row>{
           {"too long", Post("Content-Length: 1001\r\n" + expects, ""), {413}, kCloses},
           {"compressed",
            Post("Content-Encoding: br\r\nContent-Length: 5\r\n" + expects, ""),
            {415},
            kCloses},
           {"no such path",
            "POST /nonesuch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n" + expects +
                "\r\n",
            {404},
            kCloses},
           {"no body", Post("Content-Length: 0\r\n" + expects, ""), {200}, kCloses}}) {
    Check(served, row);
  }
}

TEST(HttpReplies, AreLoggedWhateverWasAsked) {
  HttpServed served;
  served.Ask(Get(Long(40000)));
  served.Ask("nonsense\r\n\r\n");
  served.Ask("GET /\x1b[31m HTTP/1.1\r\n\r\n");
  served.Ask("GET /a%0aFAKE%1b[31m HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  served.End();
  std::vector<int> statuses;
  for (const CallRecord& record : served.records()) {
    statuses.push_back(record.status);
    EXPECT_EQ(record.path, "");
    EXPECT_EQ(record.id.size(), 16);
    EXPECT_EQ(record.outcome.find('\n'), std::string::npos);
    EXPECT_EQ(record.outcome.find('\x1b'), std::string::npos);
  }
  EXPECT_THAT(statuses, testing::UnorderedElementsAre(431, 400, 400, 404));
}

}  // namespace
}  // namespace sluice::server
