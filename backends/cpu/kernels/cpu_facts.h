// What a report of a fault should say of the CPU backend on this machine.
#pragma once

#include <string>
#include <vector>

namespace sluice {

struct CpuFacts {
  std::string onednn;                 // "2.7.3"
  std::string instruction_set;        // of the kernels that are chosen: "avx512"
  std::vector<std::string> features;  // of DeviceCaps
};
CpuFacts CpuFactsHere();

}  // namespace sluice
