#include "tools/load/sse_reader.h"

#include "absl/strings/strip.h"

namespace sluice::load {

bool SseReader::Feed(absl::string_view bytes,
                     absl::FunctionRef<bool(absl::string_view data)> on_event) {
  while (true) {
    const size_t end = bytes.find('\n');
    line_.append(bytes.data(), std::min(end, bytes.size()));
    if (end == absl::string_view::npos) return true;
    bytes.remove_prefix(end + 1);
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    if (!line_.empty()) {
      TakeLine(line_);
      line_.clear();
      continue;
    }
    if (!has_data_) continue;
    const std::string data = std::move(data_);
    data_.clear();
    has_data_ = false;
    if (!on_event(data)) return false;
  }
}

void SseReader::TakeLine(absl::string_view line) {
  if (!absl::ConsumePrefix(&line, "data:")) return;
  absl::ConsumePrefix(&line, " ");
  if (has_data_) data_ += '\n';
  data_.append(line.data(), line.size());
  has_data_ = true;
}

}  // namespace sluice::load
