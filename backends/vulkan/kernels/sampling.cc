// Vulkan kernels of the sampling family.
#include "absl/strings/str_cat.h"
#include "backends/device_features.h"
#include "backends/vulkan/lowering.h"
#include "backends/vulkan/shaders/top_k.inc"
#include "graph/ops/elementwise.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

// Elements of a row that a workgroup looks at: few enough that a large GPU has work for all its
// cores, many on a processor, where each workgroup waits for barriers on its own.
int64_t PartOf(bool is_processor) { return is_processor ? 16384 : 2048; }

int64_t PartsOf(int64_t n, bool is_processor) {
  const int64_t part = PartOf(is_processor);
  return (n + part - 1) / part;
}

absl::Status AcceptsTopK(const Node& node, const proto::DeviceCaps&) {
  const int64_t k = node.result()->type().shape[1].factor();
  if (k <= top_k::MOST) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("k is ", k, ", expected at most ", top_k::MOST));
}

absl::Status LowerTopK(Lowering& out) {
  const Operand in = As<UnaryCall>(out).x;
  const Shape& x = in.shape();
  const bool is_processor = out.device().type == "cpu";
  const int64_t n = x[1].factor();
  const top_k::Parameters parameters = {.rows = out.Elements({x[0]}),
                                        .n = static_cast<uint32_t>(n),
                                        .k = static_cast<uint32_t>(out.call().Int("k")),
                                        .part = static_cast<uint32_t>(PartOf(is_processor))};
  const int64_t rows = out.Bound(parameters.rows);
  constexpr int64_t kCounterBytes = 4;
  return out.Dispatch("top_k",
                      top_k::Bindings{.x = in.span,
                                      .values = out.Result(0),
                                      .ids = out.Result(1),
                                      .found = out.Scratch(),
                                      .done = out.Kept(rows * kCounterBytes)},
                      parameters, {PartsOf(n, is_processor), rows, 1});
}

// What the parts of all rows have found: two words for each value of the result.
absl::StatusOr<int64_t> TopKScratch(const Node& node, const SymbolValues& bounds,
                                    const proto::DeviceCaps& caps) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, bounds.EvaluateBytes(node.result()->type()));
  const int64_t n = As<UnaryCall>(node).x->type().shape[1].factor();
  return 2 * bytes * PartsOf(n, HasFeature(caps, "cpu"));
}

}  // namespace

void AddSamplingKernels(std::vector<VulkanKernel>* kernels) {
  kernels->push_back({{"vulkan.top_k", "top_k",
                       "parts of a row by workgroups; the one that is done last selects and sorts",
                       AcceptsTopK, /*cost=*/nullptr, TopKScratch},
                      LowerTopK});
}

}  // namespace sluice::vulkan
