// The HTML page of a compilation: one file that needs nothing else. Its parts: tools/pages/graph.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace sluice {

// The page for `data` (see page_data.h). No text in it, whatever it holds, ends the page's script
// element: every '<' is written as an escape.
std::string HtmlPage(const nlohmann::json& data);

}  // namespace sluice
