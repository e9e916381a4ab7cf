// The forms in which a graph goes in and out of the tools.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "graph/graph.h"

namespace sluice::tools {

inline constexpr char kFormatHelp[] =
    "text, textproto, json, proto (binary), dot, svg (with Graphviz), html (one page)";
// The names that Format knows, for checks of options.
std::vector<std::string> FormatNames();

// `format` is one of FormatNames(). "html" is a page with this stage only. Errors: those of
// Graphviz for "svg".
absl::StatusOr<std::string> Format(const Graph& graph, const std::string& format);

}  // namespace sluice::tools
