// For errors about unknown names: which known one may have been meant.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// The one of `known` with the fewest letters to insert, leave out, replace or swap with the next,
// the first of several. Case does not count. "" if that are more than a third of its letters.
absl::string_view NearestName(absl::string_view name, absl::Span<const absl::string_view> known);

// "; did you mean 'matmul'?" with the nearest name, "" if none is near.
std::string DidYouMean(absl::string_view name, absl::Span<const absl::string_view> known);

// The names of records, or of what pointers point to, that have a member `name`.
template <typename Records>
std::vector<absl::string_view> NamesOf(const Records& records) {
  std::vector<absl::string_view> names;
  for (const auto& record : records) {
    if constexpr (requires { record->name; }) {
      names.emplace_back(record->name);
    } else {
      names.emplace_back(record.name);
    }
  }
  return names;
}

}  // namespace sluice
