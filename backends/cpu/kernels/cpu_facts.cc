#include "backends/cpu/kernels/cpu_facts.h"

#include <oneapi/dnnl/dnnl.h>

#include "absl/strings/str_cat.h"
#include "backends/backend.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/kernels/vector_isa.h"

namespace sluice {

CpuFacts CpuFactsHere() {
  const proto::DeviceCaps caps = MakeCpuBackend({.threads = 1})->caps();
  const dnnl_version_t& onednn = *dnnl_version();
  return {.onednn = absl::StrCat(onednn.major, ".", onednn.minor, ".", onednn.patch),
          .instruction_set = cpu::VectorIsaFor(caps).name,
          .features = {caps.features().begin(), caps.features().end()}};
}

}  // namespace sluice
