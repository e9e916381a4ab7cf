#include "tools/server/http_body.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sluice::server {
namespace {

constexpr size_t kMostLine = 8 << 10;
constexpr size_t kMostSizeDigits = 16;

}  // namespace

HttpBodyReader::HttpBodyReader(const HttpHead& head, uint64_t most_bytes)
    : most_bytes_(most_bytes),
      is_chunked_(head.is_chunked),
      part_(head.is_chunked ? Part::kSize : Part::kData),
      left_(head.length.value_or(0)),
      line_(kMostLine) {
  if (is_chunked_) return;
  if (left_ > most_bytes_) {
    Refuse({413, absl::StrCat("the body has ", left_, " bytes, expected ", most_bytes_,
                              " bytes at most")});
  } else if (left_ == 0) {
    state_ = State::kWhole;
  }
}

HttpBodyReader::State HttpBodyReader::Refuse(Refusal refusal) {
  refusal_ = std::move(refusal);
  state_ = State::kRefused;
  return state_;
}

HttpBodyReader::State HttpBodyReader::Take(absl::string_view* bytes, std::string* body) {
  while (!bytes->empty() && state_ == State::kOpen) {
    if (part_ == Part::kData) {
      const auto count = static_cast<size_t>(std::min<uint64_t>(left_, bytes->size()));
      body->append(bytes->data(), count);
      bytes->remove_prefix(count);
      left_ -= count;
      if (left_ > 0) continue;
      if (is_chunked_) {
        part_ = Part::kDataEnd;
      } else {
        state_ = State::kWhole;
      }
      continue;
    }
    const HttpLine::State line = line_.Take(bytes);
    if (line == HttpLine::State::kMalformed) return Refuse(MalformedLine("the frame of a chunk"));
    if (line == HttpLine::State::kTooLong) {
      return Refuse({400, absl::StrCat("the frame of a chunk has more than ", kMostLine,
                                       " bytes in a line")});
    }
    if (line == HttpLine::State::kWhole) TakeLine();
  }
  return state_;
}

HttpBodyReader::State HttpBodyReader::TakeLine() {
  const std::string line = line_.text();
  line_.Clear();
  overhead_ += line.size();
  if (overhead_ > kMostChunkOverhead + total_) {
    return Refuse({400, "the frames of the chunks are much larger than what is in them"});
  }
  switch (part_) {
    case Part::kSize:
      return BeginData(line);
    case Part::kDataEnd:
      part_ = Part::kSize;
      if (line.empty()) return state_;
      return Refuse({400, "a chunk is longer than it says"});
    case Part::kTrailers:
      if (line.empty()) {
        state_ = State::kWhole;
      } else if (!IsToken(line.substr(0, line.find(':'))) || !absl::StrContains(line, ':')) {
        return Refuse({400, "a trailer is no field"});
      }
      return state_;
    case Part::kData:
      break;
  }
  return state_;
}

HttpBodyReader::State HttpBodyReader::BeginData(absl::string_view line) {
  const auto* const end = std::find_if_not(line.begin(), line.end(), [](char c) {
    return absl::ascii_isxdigit(static_cast<unsigned char>(c));
  });
  const absl::string_view digits = line.substr(0, static_cast<size_t>(end - line.begin()));
  const absl::string_view extension = line.substr(digits.size());
  const bool is_extension = absl::StartsWith(WithoutBlanks(extension), ";");
  if (digits.empty() || digits.size() > kMostSizeDigits || !(extension.empty() || is_extension)) {
    return Refuse({400, "the size of a chunk is no hexadecimal number"});
  }
  left_ = 0;
  if (!absl::SimpleHexAtoi(digits, &left_) || left_ > most_bytes_ - total_) {
    return Refuse(
        {413, absl::StrCat("the body is too large, expected ", most_bytes_, " bytes at most")});
  }
  total_ += left_;
  part_ = left_ == 0 ? Part::kTrailers : Part::kData;
  return state_;
}

}  // namespace sluice::server
