// Whether this is a build with sanitizers, which is slower: tests that repeat themselves do so
// less.
#pragma once

namespace sluice {

inline constexpr bool kSanitized = SLUICE_SANITIZED;

}  // namespace sluice
