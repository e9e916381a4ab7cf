#include "tools/views/page.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tools/views/html/assets.h"

namespace sluice {
namespace {

// JSON has '<' in strings only, where \u003c is the same.
std::string ForScriptElement(const nlohmann::json& data) {
  using Handler = nlohmann::json::error_handler_t;
  return absl::StrReplaceAll(data.dump(-1, ' ', false, Handler::replace), {{"<", "\\u003c"}});
}

std::string Scripts() {
  std::string text;
  for (absl::string_view script : PageScripts()) {
    absl::StrAppend(&text, "<script>\n", script, "</script>\n");
  }
  return text;
}

}  // namespace

std::string HtmlPage(const nlohmann::json& data) {
  return absl::StrReplaceAll(PageSkeleton(), {{"{{style}}", PageStyle()},
                                              {"{{data}}", ForScriptElement(data)},
                                              {"{{scripts}}", Scripts()}});
}

}  // namespace sluice
