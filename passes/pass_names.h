// Errors about names of passes.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "passes/pass.h"

namespace sluice {

// InvalidArgument that lists `passes`, of which none has the name.
absl::Status UnknownPass(absl::string_view name, absl::Span<const Pass> passes);

}  // namespace sluice
