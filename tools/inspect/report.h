// An inspection as text for people and as JSON for programs.
#pragma once

#include <optional>
#include <string>

#include "tools/inspect/inspect.h"

namespace sluice {

struct ReportOptions {
  bool all_metadata = false;       // every key, arrays shortened
  std::optional<Ceiling> ceiling;  // measured: adds the speed that decoding cannot exceed
};

std::string InspectionText(const Model& model, const Inspection& inspection,
                           const ReportOptions& options);

// One object: model, metadata (if asked for), parameters, formats, memory (with one entry per
// bucket), peak, machine, fit, schedule (of a device that gets whole steps), decode. Sizes are in
// bytes.
std::string InspectionJson(const Model& model, const Inspection& inspection,
                           const ReportOptions& options);

}  // namespace sluice
