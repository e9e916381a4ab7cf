// Memory that runs out, as an error that says what for. The standard library tells it by an
// exception; nobody else throws or catches one.
#pragma once

#include <new>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace sluice {

// What `work`, which returns a Status or a StatusOr, returns; ResourceExhausted that names `what`
// if memory runs out meanwhile.
template <typename Work>
auto WithMemoryFor(absl::string_view what, const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot allocate memory for ", what));
  }
}

}  // namespace sluice
