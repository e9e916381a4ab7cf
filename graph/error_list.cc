#include "graph/error_list.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sluice {

void ErrorList::Add(absl::string_view message) {
  ++added_;
  if (shown_.size() < kMaxShown) shown_.emplace_back(message);
}

absl::Status ErrorList::ToStatus() const {
  if (empty()) return absl::OkStatus();
  const int64_t more = added_ - static_cast<int64_t>(shown_.size()) + others_;
  std::string text = absl::StrJoin(shown_, "\n");
  if (more > 0) absl::StrAppend(&text, "\nand ", is_cut_off() ? "at least " : "", more, " more");
  return absl::InvalidArgumentError(text);
}

}  // namespace sluice
