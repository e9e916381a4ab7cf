// Errors of one graph that are told together, a line for each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice {

class ErrorList {
 public:
  static constexpr size_t kMaxShown = 20;
  // A loader that has found so many stops: hostile texts must not take long to refuse.
  static constexpr int64_t kMaxCounted = 1000;

  void Add(absl::string_view message);
  // Others that are only counted.
  void Count(int64_t others) { others_ += others; }

  bool empty() const { return added_ == 0; }
  bool is_cut_off() const { return added_ >= kMaxCounted; }

  // OK without errors. Otherwise InvalidArgument: the first kMaxShown errors in the order in which
  // they were added, then "and 3 more".
  absl::Status ToStatus() const;

 private:
  std::vector<std::string> shown_;
  int64_t added_ = 0;
  int64_t others_ = 0;
};

}  // namespace sluice
