// Which layer of a model a name says that its bearer belongs to; Node::layer() asks here where
// nothing else is known.
#pragma once

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"

namespace sluice {

// 12 for "l12.q"; -1 for anything that belongs to no layer.
inline int LayerOf(absl::string_view name) {
  const size_t dot = name.find('.');
  int layer = -1;
  if (!absl::StartsWith(name, "l") || dot == absl::string_view::npos) return -1;
  const absl::string_view digits = name.substr(1, dot - 1);
  if (digits.find_first_not_of("0123456789") != absl::string_view::npos) return -1;
  return absl::SimpleAtoi(digits, &layer) ? layer : -1;
}

}  // namespace sluice
