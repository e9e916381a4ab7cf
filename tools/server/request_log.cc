#include "tools/server/request_log.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "models/unicode/printable.h"

namespace sluice::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostText = 1000;  // bytes of what a stranger may have written

// A column of a line.
std::string WordOf(const std::string& text) {
  return text.empty() ? "-" : Printable(text, kMostText);
}

double Milliseconds(double seconds) { return std::round(seconds * 1e4) / 10; }

std::string JsonLine(const CallRecord& record) {
  Json line = {{"id", record.id},
               {"method", record.method},
               {"route", record.path},
               {"status", record.status},
               {"prompt_tokens", record.usage.prompt_tokens},
               {"cached_tokens", record.usage.cached_tokens},
               {"tokens", record.usage.completion_tokens},
               {"ms_first", nullptr},
               {"ms_total", Milliseconds(record.seconds)},
               {"outcome", record.outcome}};
  if (!record.warning.empty()) line["warning"] = record.warning;
  if (record.first_token_seconds.has_value()) {
    line["ms_first"] = Milliseconds(*record.first_token_seconds);
  }
  // In ASCII: what ends a line or moves a terminal's cursor is not only in there.
  return line.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string TextLine(const CallRecord& record) {
  std::string line = absl::StrFormat("%s %s %s %d %.1f ms", record.id, WordOf(record.method),
                                     WordOf(record.path), record.status, record.seconds * 1e3);
  if (record.first_token_seconds.has_value()) {
    absl::StrAppendFormat(&line, ", first token %.1f ms", *record.first_token_seconds * 1e3);
  }
  if (record.usage.prompt_tokens > 0) {
    absl::StrAppendFormat(&line, ", prompt %d (%d cached), answer %d", record.usage.prompt_tokens,
                          record.usage.cached_tokens, record.usage.completion_tokens);
  }
  if (!record.outcome.empty()) absl::StrAppend(&line, ": ", Printable(record.outcome, kMostText));
  if (!record.warning.empty()) absl::StrAppend(&line, "; ", Printable(record.warning, kMostText));
  return line;
}

}  // namespace

void RequestLog::Write(const CallRecord& record) {
  if (format_ == LogFormat::kNone) return;
  const std::string line = format_ == LogFormat::kJson ? JsonLine(record) : TextLine(record);
  const std::lock_guard<std::mutex> lock(mutex_);
  out_ << line << std::endl;
}

}  // namespace sluice::server
