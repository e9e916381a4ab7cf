#include "tools/views/page.h"

#include "absl/strings/str_replace.h"
#include "tools/pages/assets.h"

namespace sluice {
namespace {

// JSON has '<' in strings only, where \u003c is the same.
std::string ForScriptElement(const nlohmann::json& data) {
  using Handler = nlohmann::json::error_handler_t;
  return absl::StrReplaceAll(data.dump(-1, ' ', false, Handler::replace), {{"<", "\\u003c"}});
}

}  // namespace

std::string HtmlPage(const nlohmann::json& data) {
  return absl::StrReplaceAll(GraphPage(), {{"{{data}}", ForScriptElement(data)}});
}

}  // namespace sluice
