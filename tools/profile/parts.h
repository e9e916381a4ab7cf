// Which part of a decoder a node belongs to.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "graph/graph.h"

namespace sluice {

enum class Part : uint8_t {
  kEmbedding,
  kNorm,
  kQkv,
  kRopeAppend,
  kAttention,
  kAttentionOutput,
  kRouter,
  kGateUp,
  kDown,
  kCombine,
  kResidual,
  kOutput,
  kOther,
};
inline constexpr size_t kPartCount = static_cast<size_t>(Part::kOther) + 1;

absl::string_view Name(Part part);   // "gate/up"
absl::string_view Group(Part part);  // "embedding", "attention", "ffn", "output", "other"

// The first rule of the table in parts.cc that fits: by the names of the weights that the node
// reads, by its op, or by the name that model builders give its result ("l0.q": q). A fused node
// belongs where its weights do. kOther if none fits.
Part PartOf(const Node& node);

}  // namespace sluice
