#include "backends/cpu/kernels/vector_isa.h"

#include <algorithm>
#include <iterator>

#include "proto/device.pb.h"

namespace sluice::cpu {
namespace {

bool Has(const proto::DeviceCaps& caps, const VectorIsa& isa) {
  return std::all_of(std::begin(isa.needs), std::end(isa.needs), [&](const char* feature) {
    const auto& features = caps.features();
    return feature == nullptr ||
           std::find(features.begin(), features.end(), feature) != features.end();
  });
}

}  // namespace

const VectorIsa& VectorIsaFor(const proto::DeviceCaps& caps) {
  for (const VectorIsa* isa : {kVectorAvx512, kVectorAvx2}) {
    if (isa != nullptr && Has(caps, *isa)) return *isa;
  }
  return *kVectorPortable;
}

}  // namespace sluice::cpu
