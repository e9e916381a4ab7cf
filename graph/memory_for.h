// What memory is for, so that a program which runs out of it can say so where it ends. Abseil's
// containers do not survive std::bad_alloc: the program's new-handler must not return, nor throw.
#pragma once

#include "absl/strings/string_view.h"

namespace sluice {

// Of the calling thread; "": nobody said.
inline thread_local absl::string_view memory_purpose;

// What `work` returns; the thread's memory is for `what` meanwhile.
template <typename Work>
auto WithMemoryFor(absl::string_view what, const Work& work) -> decltype(work()) {
  struct Scope {
    absl::string_view before = memory_purpose;
    ~Scope() { memory_purpose = before; }
  } const scope;
  memory_purpose = what;
  return work();
}

}  // namespace sluice
