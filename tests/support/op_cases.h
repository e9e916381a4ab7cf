// One list of op applications, as small graphs, for everything that is done per op: parity of every
// backend with the reference, and speed.
#pragma once

#include <string>
#include <vector>

#include "tools/analysis/random_data.h"

namespace sluice {

struct OpCase {
  std::string name;    // "matmul/q4_k/7x512x96"
  std::string text;    // a graph in text form
  ValueRanges ranges;  // where they are not what its ops allow
};

// Every op of the registry is in at least one case (a test checks it).
std::vector<OpCase> AllOpCases();

}  // namespace sluice
