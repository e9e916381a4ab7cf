#include "graph/nearest_name.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// Longer names are no slips of the hand; hostile ones would take long.
constexpr size_t kLongestName = 64;

// Optimal string alignment. Three rows of the table are enough.
size_t Edits(absl::string_view a, absl::string_view b) {
  std::vector<size_t> before_last, last(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    before_last = std::move(last);
    last = std::move(row);
    row.assign(b.size() + 1, i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = last[j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0);
      row[j] = std::min({replaced, last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row.back();
}

}  // namespace

absl::string_view NearestName(absl::string_view name, absl::Span<const absl::string_view> known) {
  if (name.empty() || name.size() > kLongestName) return "";
  const std::string wanted = absl::AsciiStrToLower(name);
  absl::string_view nearest;
  size_t fewest = 0;
  for (const absl::string_view candidate : known) {
    const size_t edits = Edits(wanted, absl::AsciiStrToLower(candidate));
    const bool is_near = edits * 3 <= std::max(candidate.size(), wanted.size());
    if (is_near && (nearest.empty() || edits < fewest)) {
      nearest = candidate;
      fewest = edits;
    }
  }
  return nearest;
}

std::string DidYouMean(absl::string_view name, absl::Span<const absl::string_view> known) {
  const absl::string_view nearest = NearestName(name, known);
  return nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?");
}

}  // namespace sluice
