#include "tools/terminal/markdown_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sluice {

std::string MarkdownTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows.front().size(), 3);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t i = 0; i < widths.size(); ++i) {
      const std::string& cell = rows[r][i];
      const std::string padding(widths[i] - cell.size(), ' ');
      absl::StrAppend(&text, "| ", i == 0 ? cell : padding, i == 0 ? padding : cell, " ");
    }
    text += "|\n";
    if (r > 0) continue;
    for (size_t i = 0; i < widths.size(); ++i) {
      absl::StrAppend(&text, i == 0 ? "|:" : "|-", std::string(widths[i], '-'), i == 0 ? "-" : ":");
    }
    text += "|\n";
  }
  return text;
}

}  // namespace sluice
