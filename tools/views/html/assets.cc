#include "tools/views/html/assets.h"

// Defined in assets.S, each with a zero after it.
// NOLINTBEGIN(readability-identifier-naming)
extern "C" {
extern const char sluice_page_skeleton[];
extern const char sluice_page_style[];
extern const char sluice_page_dom[];
extern const char sluice_page_stages[];
extern const char sluice_page_layout[];
extern const char sluice_page_sections[];
extern const char sluice_page_graph[];
extern const char sluice_page_panel[];
extern const char sluice_page_sidebar[];
extern const char sluice_page_search[];
extern const char sluice_page_memory[];
extern const char sluice_page_app[];
}
// NOLINTEND(readability-identifier-naming)

namespace sluice {

absl::string_view PageSkeleton() { return sluice_page_skeleton; }

absl::string_view PageStyle() { return sluice_page_style; }

std::vector<absl::string_view> PageScripts() {
  return {sluice_page_dom,    sluice_page_stages, sluice_page_layout,  sluice_page_sections,
          sluice_page_graph,  sluice_page_panel,  sluice_page_sidebar, sluice_page_search,
          sluice_page_memory, sluice_page_app};
}

}  // namespace sluice
