#include "tools/pages/assets.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

// Defined in assets.S, each with a zero after it.
// NOLINTBEGIN(readability-identifier-naming)
extern "C" {
extern const char sluice_page_base[];
extern const char sluice_page_dom[];
extern const char sluice_page_graph_skeleton[];
extern const char sluice_page_graph_style[];
extern const char sluice_page_graph_stages[];
extern const char sluice_page_graph_layout[];
extern const char sluice_page_graph_sections[];
extern const char sluice_page_graph_graph[];
extern const char sluice_page_graph_panel[];
extern const char sluice_page_graph_sidebar[];
extern const char sluice_page_graph_search[];
extern const char sluice_page_graph_memory[];
extern const char sluice_page_graph_app[];
extern const char sluice_page_serve_skeleton[];
extern const char sluice_page_serve_style[];
extern const char sluice_page_serve_events[];
extern const char sluice_page_serve_api[];
extern const char sluice_page_serve_messages[];
extern const char sluice_page_serve_chat[];
extern const char sluice_page_serve_engine[];
extern const char sluice_page_serve_app[];
}
// NOLINTEND(readability-identifier-naming)

namespace sluice {
namespace {

// `scripts` in the order in which they must run.
std::string Assemble(absl::string_view skeleton, absl::string_view style,
                     const std::vector<absl::string_view>& scripts) {
  std::string elements;
  for (const absl::string_view script : scripts) {
    absl::StrAppend(&elements, "<script>\n", script, "</script>\n");
  }
  return absl::StrReplaceAll(skeleton, {{"{{style}}", absl::StrCat(sluice_page_base, "\n", style)},
                                        {"{{scripts}}", elements}});
}

}  // namespace

std::string GraphPage() {
  return Assemble(sluice_page_graph_skeleton, sluice_page_graph_style,
                  {sluice_page_dom, sluice_page_graph_stages, sluice_page_graph_layout,
                   sluice_page_graph_sections, sluice_page_graph_graph, sluice_page_graph_panel,
                   sluice_page_graph_sidebar, sluice_page_graph_search, sluice_page_graph_memory,
                   sluice_page_graph_app});
}

std::string ServePage() {
  return Assemble(
      sluice_page_serve_skeleton, sluice_page_serve_style,
      {sluice_page_dom, sluice_page_serve_events, sluice_page_serve_api, sluice_page_serve_messages,
       sluice_page_serve_chat, sluice_page_serve_engine, sluice_page_serve_app});
}

}  // namespace sluice
