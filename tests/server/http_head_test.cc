// Heads and bodies from bytes: what is read, and that it does not depend on how bytes are cut.
#include <gmock/gmock.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tools/server/http_body.h"
#include "tools/server/http_head.h"

namespace sluice::server {
namespace {

using testing::HasSubstr;

// A request as it was read, in words.
struct Reading {
  std::string words;
  std::string rest;
};

Reading Read(const std::vector<absl::string_view>& pieces) {
  HttpHeadReader reader;
  std::string body, rest;
  std::optional<HttpBodyReader> body_reader;
  HttpHeadReader::State head = HttpHeadReader::State::kBlank;
  HttpBodyReader::State state = HttpBodyReader::State::kOpen;
  for (absl::string_view piece : pieces) {
    head = reader.Take(&piece);
    if (head == HttpHeadReader::State::kWhole) {
      if (!body_reader.has_value()) body_reader.emplace(reader.head(), 1000);
      state = body_reader->Take(&piece, &body);
    }
    rest.append(piece.data(), piece.size());
  }
  const HttpHead& read = reader.head();
  std::string words =
      absl::StrCat(static_cast<int>(head), " ", static_cast<int>(state), " ",
                   reader.refusal().status, reader.refusal().message, " ", read.method, " ",
                   read.path, " ", read.minor_version, " ", read.keeps_alive, " ", body);
  for (const HttpHead::Field& field : read.fields) {
    absl::StrAppend(&words, "\n", field.name, "=", field.value);
  }
  if (body_reader.has_value()) absl::StrAppend(&words, "\n", body_reader->refusal().message);
  return {words, rest};
}

HttpHead HeadOf(absl::string_view text) {
  HttpHeadReader reader;
  EXPECT_EQ(reader.Take(&text), HttpHeadReader::State::kWhole) << reader.refusal().message;
  return reader.head();
}

TEST(HttpHead, IsWhatItSays) {
  const HttpHead head = HeadOf(
      "POST /a%20b/%7e?q=1 HTTP/1.1\r\nHost: Example.ORG:80\r\nX-A: 1\r\nx-a: 2\r\n"
      "Content-Length: 12\r\nExpect: 100-continue\r\nConnection: keep-alive, Upgrade\r\n\r\n");
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.path, "/a b/~");
  EXPECT_EQ(head.minor_version, 1);
  EXPECT_EQ(head.authority->host, "example.org");
  EXPECT_EQ(head.authority->port, "80");
  EXPECT_EQ(head.Find("x-a"), "1");
  EXPECT_EQ(head.Find("x-b"), "");
  EXPECT_FALSE(head.Has("x-b"));
  EXPECT_EQ(head.length, 12);
  EXPECT_FALSE(head.is_chunked);
  EXPECT_TRUE(head.expects_continue);
  EXPECT_TRUE(head.keeps_alive);
  EXPECT_TRUE(head.has_body());
}

TEST(HttpHead, OfAWholeAddressCountsMoreThanHost) {
  const HttpHead head = HeadOf("GET http://[::1]:9/x HTTP/1.1\r\nHost: other\r\n\r\n");
  EXPECT_EQ(head.authority->host, "[::1]");
  EXPECT_EQ(head.authority->port, "9");
  EXPECT_EQ(head.path, "/x");
}

TEST(HttpHead, LengthsBeyond64BitsAreTheLargest) {
  const HttpHead head =
      HeadOf("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n");
  EXPECT_EQ(head.length, std::numeric_limits<uint64_t>::max());
}

TEST(HttpHead, TakesNoByteBehindItsEnd) {
  HttpHeadReader reader;
  absl::string_view text = "GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
  EXPECT_EQ(reader.Take(&text), HttpHeadReader::State::kWhole);
  EXPECT_EQ(text, "rest");
}

TEST(HttpHead, SaysWhatIsWrongAtOnce) {
  // Not only once the line is whole, which may never be.
  HttpHeadReader reader;
  absl::string_view text = "\x16\x03\x01";
  EXPECT_EQ(reader.Take(&text), HttpHeadReader::State::kRefused);
  EXPECT_EQ(reader.refusal().status, 400);
}

TEST(HttpHead, AndBodyDoNotDependOnPieces) {
  const std::string host = " HTTP/1.1\r\nHost: a\r\n";
  const std::string chunked = "POST /" + host + "Transfer-Encoding: chunked\r\n\r\n";
  for (const std::string& text : std::vector<std::string>{
           "\r\nGET /" + host + "X: 1\r\n\r\nGET", "\r\n\r\nGET /" + host + "\r\n",
           "GET /" + host + "X: \r1\r\n\r\n", "GET /\n" + host,
           "POST /" + host + "Content-Length: 5\r\n\r\nhelloGET",
           "POST /" + host + "Content-Length: 5000\r\n\r\nhello",
           chunked + "5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX: 1\r\n\r\nGET",
           chunked + "5\r\nhello!\r\n0\r\n\r\n", chunked + "3e9\r\nhello",
           chunked + "0\r\nX\r\n\r\n"}) {
    SCOPED_TRACE(absl::CEscape(text));
    const Reading whole = Read({text});
    std::vector<absl::string_view> bytes;
    for (size_t i = 0; i < text.size(); ++i) {
      bytes.push_back(absl::string_view(text).substr(i, 1));
      const Reading cut =
          Read({absl::string_view(text).substr(0, i), absl::string_view(text).substr(i)});
      EXPECT_EQ(cut.words, whole.words) << "cut at " << i;
      EXPECT_EQ(cut.rest, whole.rest) << "cut at " << i;
    }
    EXPECT_EQ(Read(bytes).words, whole.words);
    EXPECT_EQ(Read(bytes).rest, whole.rest);
  }
}

TEST(HttpHead, HasLimitsThatAreExact) {
  const std::string start = "GET / HTTP/1.1\r\n";
  const auto state_of = [](const std::string& text) {
    HttpHeadReader reader;
    absl::string_view bytes = text;
    reader.Take(&bytes);
    return reader.refusal().status;
  };
  EXPECT_EQ(state_of("GET /" + std::string(kMostTargetLine - 14, 'a') + " HTTP/1.1\r\n"), 0);
  EXPECT_EQ(state_of("GET /" + std::string(kMostTargetLine - 13, 'a') + " HTTP/1.1\r\n"), 414);
  const size_t left = kMostHeadBytes - start.size();
  EXPECT_EQ(state_of(start + "X:" + std::string(left - 2, 'a')), 0);
  EXPECT_EQ(state_of(start + "X:" + std::string(left - 1, 'a')), 431);
}

TEST(HttpBody, FramesAreBounded) {
  HttpHead head;
  head.is_chunked = true;
  HttpBodyReader reader(head, 1 << 20);
  std::string body;
  HttpBodyReader::State state = HttpBodyReader::State::kOpen;
  const std::string chunk = "1;" + std::string(1000, 'a') + "\r\nx\r\n";
  int chunks = 0;
  while (state == HttpBodyReader::State::kOpen && chunks < 1000) {
    absl::string_view bytes = chunk;
    state = reader.Take(&bytes, &body);
    ++chunks;
  }
  EXPECT_EQ(state, HttpBodyReader::State::kRefused);
  EXPECT_LT(chunks, 70);
  EXPECT_THAT(reader.refusal().message, HasSubstr("frames"));
  // One byte in each is odd, but no attack.
  HttpBodyReader patient(head, 1 << 20);
  body.clear();
  for (int i = 0; i < 100000; ++i) {
    absl::string_view bytes = "1\r\nx\r\n";
    state = patient.Take(&bytes, &body);
  }
  EXPECT_EQ(state, HttpBodyReader::State::kOpen);
  EXPECT_EQ(body.size(), 100000);
}

}  // namespace
}  // namespace sluice::server
