// How the nodes of a graph are shared out among several backends, each for a device.
#pragma once

#include <cstdint>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backends/backend.h"
#include "graph/graph.h"

namespace sluice {

// Nodes of which a result, or a weight that they read, has a name with a match in it.
struct PlaceRule {
  std::string pattern;  // as written
  std::regex regex;
  std::string device;
};
// "REGEX=DEVICE", with the last '='. Errors: no such form, a bad expression (ECMAScript).
absl::StatusOr<PlaceRule> ParsePlaceRule(const std::string& text);
bool Fits(const PlaceRule& rule, const Node& node);

struct Placement {
  // By name() different. The first one has what nothing else says; the last one runs anything.
  std::vector<std::unique_ptr<Backend>> devices;
  // How much of a decoder is on the first device, from its end on: 1 is the output, 2 the output
  // and the last layer, and so on; the rest, and always the embedding, is on the last device. -1:
  // everything is on the first.
  int64_t layers = -1;
  std::vector<PlaceRule> rules;  // stronger than `layers`; the first that fits counts
  // Nodes that their device has no kernel for are on the last one.
  bool fallback = false;

  Backend* Find(absl::string_view device) const;  // nullptr if unknown
};

}  // namespace sluice
