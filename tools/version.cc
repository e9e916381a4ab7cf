#include "tools/version.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "backends/cpu/kernels/cpu_facts.h"
#include "build_facts.h"

namespace sluice::tools {

std::string Version() {
  const CpuFacts cpu = CpuFactsHere();
  return absl::StrCat(
      "sluice ", kVersion, ", commit ", kCommit, "\n", kCompiler, ", ", kBuildType, "\noneDNN ",
      cpu.onednn, "\nkernels for ", cpu.instruction_set, ", on a processor with ",
      cpu.features.empty() ? "none of the known features" : absl::StrJoin(cpu.features, " "));
}

}  // namespace sluice::tools
