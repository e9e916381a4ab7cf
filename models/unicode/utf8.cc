#include "models/unicode/utf8.h"

#include <algorithm>

namespace sluice {
namespace {

constexpr uint32_t kReplacement = 0xFFFD;
constexpr uint32_t kMaxCodePoint = 0x10FFFF;

uint8_t Byte(absl::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

bool IsContinuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }

// Length of the well-formed character that `lead` starts, 0 if there is none.
size_t WellFormedLength(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

// Rules out overlong forms, surrogates and what lies above U+10FFFF.
bool CanFollow(uint8_t lead, uint8_t second) {
  switch (lead) {
    case 0xE0:
      return second >= 0xA0 && second <= 0xBF;
    case 0xED:
      return second >= 0x80 && second <= 0x9F;
    case 0xF0:
      return second >= 0x90 && second <= 0xBF;
    case 0xF4:
      return second >= 0x80 && second <= 0x8F;
    default:
      return IsContinuation(second);
  }
}

// `text` starts with a lead byte.
bool IsUnfinishedCharacter(absl::string_view text) {
  const uint8_t lead = Byte(text, 0);
  if (text.size() >= WellFormedLength(lead)) return false;
  if (text.size() >= 2 && !CanFollow(lead, Byte(text, 1))) return false;
  return text.size() < 3 || IsContinuation(Byte(text, 2));
}

}  // namespace

size_t Utf8Length(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  if (byte < 0xC0) return 1;
  return byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

CodePoint DecodeUtf8(absl::string_view text) {
  constexpr CodePoint kInvalid = {kReplacement, 1};
  const uint8_t lead = Byte(text, 0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = Utf8Length(text[0]);
  if (length == 1 || lead >= 0xF8 || length > text.size()) return kInvalid;
  uint32_t value = lead & (0x7FU >> length);
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(Byte(text, i))) return kInvalid;
    value = value << 6 | (Byte(text, i) & 0x3FU);
  }
  return value > kMaxCodePoint ? kInvalid : CodePoint{value, length};
}

void AppendUtf8(uint32_t value, std::string* out) {
  const auto append = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  const auto continuation = [&](int shift) { append(0x80U | (value >> shift & 0x3FU)); };
  if (value < 0x80) return append(value);
  if (value < 0x800) {
    append(0xC0U | value >> 6);
  } else if (value < 0x10000) {
    append(0xE0U | value >> 12);
    continuation(6);
  } else {
    append(0xF0U | value >> 18);
    continuation(12);
    continuation(6);
  }
  continuation(0);
}

std::string NormalizeUtf8(absl::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const CodePoint code = DecodeUtf8(text);
    AppendUtf8(code.value, &result);
    text.remove_prefix(code.bytes);
  }
  return result;
}

size_t UnfinishedUtf8(absl::string_view text) {
  for (size_t length = 1; length <= std::min<size_t>(3, text.size()); ++length) {
    const absl::string_view tail = text.substr(text.size() - length);
    if (!IsContinuation(Byte(tail, 0))) return IsUnfinishedCharacter(tail) ? length : 0;
  }
  return 0;
}

}  // namespace sluice
