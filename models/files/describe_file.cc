#include "models/files/describe_file.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "models/files/file_format.h"
#include "models/unicode/printable.h"

namespace sluice {
namespace {

constexpr absl::string_view kTakeGraphs = ": `sluice opt`, `diff`, `verify` and `reduce` take it";
constexpr absl::string_view kConvert =
    ": convert_hf_to_gguf.py of llama.cpp makes a GGUF file of such a model";

struct Beginning {
  absl::string_view bytes, kind, advice;
};

constexpr Beginning kBinary[] = {
    {"PK\x03\x04", "is a ZIP archive, as PyTorch writes checkpoints", kConvert},
    {"\x80\x02", "is pickled Python, as old checkpoints of PyTorch are", kConvert},
    {"\x1f\x8b", "is compressed by gzip", ": unpack it first"},
    {"\x28\xb5\x2f\xfd", "is compressed by zstd", ": unpack it first"},
    {"\xfd\x37zXZ", "is compressed by xz", ": unpack it first"},
};

// After blanks and in lower case.
constexpr Beginning kText[] = {
    {"graph ", "is a graph in text form", kTakeGraphs},
    {"//", "is a graph in text form", kTakeGraphs},
    {"name:", "is a graph as text proto", kTakeGraphs},
    {"version https://git-lfs", "is a pointer of Git LFS, not the file itself",
     ": `git lfs pull` fetches it"},
    {"<!doctype html", "is a web page", ": perhaps a download failed, look into it"},
    {"<html", "is a web page", ": perhaps a download failed, look into it"},
    {"<?xml", "is XML", ": perhaps a download failed, look into it"},
};

// A length of eight bytes, and as many of JSON.
bool IsSafetensors(absl::string_view bytes) {
  return bytes.size() > 9 && bytes.substr(5, 3) == absl::string_view("\0\0\0", 3) &&
         bytes[8] == '{';
}

// A serialised graph begins with its name: the tag of field 1, a length, and so many characters.
// Then comes a field of the same kind.
bool IsProtoGraph(absl::string_view bytes) {
  if (bytes.size() < 3 || bytes[0] != '\n') return false;
  const auto length = static_cast<size_t>(bytes[1]);
  const absl::string_view name = bytes.substr(2, length);
  if (length == 0 || length >= 128 || std::any_of(name.begin(), name.end(), absl::ascii_iscntrl)) {
    return false;
  }
  constexpr int kWireType = 7, kHasLength = 2;
  return bytes.size() <= 2 + length || (bytes[2 + length] & kWireType) == kHasLength;
}

bool IsText(absl::string_view bytes) {
  return std::none_of(bytes.begin(), bytes.end(),
                      [](char c) { return absl::ascii_iscntrl(c) && !absl::ascii_isspace(c); });
}

std::string DescribeJson(absl::string_view text) {
  const bool is_graph = absl::StrContains(text, "\"nodes\"") ||
                        absl::StrContains(text, "\"inputs\"") ||
                        absl::StrContains(text, "\"symbols\"");
  if (is_graph) return absl::StrCat("is a graph as JSON", kTakeGraphs);
  return "is JSON, with neither weights nor a graph in it";
}

}  // namespace

std::string DescribeFile(absl::string_view first_bytes) {
  const absl::string_view bytes = first_bytes.substr(0, kTellingBytes);
  const absl::string_view text = absl::StripLeadingAsciiWhitespace(bytes);
  if (text.empty()) return "is empty";
  if (const Magic* magic = FindMagic(bytes); magic != nullptr) {
    return absl::StrCat("is a ", magic->name, " file: `sluice run`, `dump` and `inspect` take it");
  }
  for (const Beginning& known : kBinary) {
    if (absl::StartsWith(bytes, known.bytes)) return absl::StrCat(known.kind, known.advice);
  }
  for (const Beginning& known : kText) {
    if (absl::StartsWithIgnoreCase(text, known.bytes)) {
      return absl::StrCat(known.kind, known.advice);
    }
  }
  if (IsSafetensors(bytes)) return absl::StrCat("is a safetensors file", kConvert);
  if (IsProtoGraph(bytes)) return absl::StrCat("is a graph in binary form", kTakeGraphs);
  if (absl::StartsWith(text, "{")) return DescribeJson(text);
  if (IsText(bytes)) {
    constexpr size_t kShown = 40;
    const size_t end = std::min(text.find_first_of("\r\n"), kShown);
    return absl::StrCat("is text without a known magic; it begins with '",
                        Printable(text.substr(0, end)), "'");
  }
  return absl::StrCat("has the magic '", Printable(bytes.substr(0, 4)),
                      "', of no known kind of file");
}

}  // namespace sluice
