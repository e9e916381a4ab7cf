// Markdown tables that also line up in a terminal.
#pragma once

#include <string>
#include <vector>

namespace sluice {

// The first row is the header. The first column is flush left, the others flush right. Every row
// has as many cells as the header.
std::string MarkdownTable(const std::vector<std::vector<std::string>>& rows);

}  // namespace sluice
