#include "backends/vulkan/kernels/heads.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/formats.h"
#include "backends/vulkan/shaders/heads.inc"

namespace sluice::vulkan {
namespace {

// A binding must be something: what is left out of the call is bound to the sizes.
Span OrSizes(const Span& span) {
  return span.bytes > 0 ? span : Span{.region = Region::kStep, .bytes = kSymbolBytes};
}

}  // namespace

absl::Status AddHeads(absl::Span<const HeadsCall> calls, Lowering& out) {
  // What the shader has once for all tensors comes from the calls that have it, all with the same.
  HeadsCall common = calls[0];
  heads::Parameters parameters = {.tokens = out.Elements({common.shape[0]}),
                                  .slot_count = {},
                                  .block_size = 0,
                                  .all_heads = 0,
                                  .eps = common.eps,
                                  .magnitude = common.magnitude,
                                  .tensors = {}};
  heads::Constants constants = {.IN_BLOCKS = false, .TENSORS = static_cast<uint32_t>(calls.size())};
  std::vector<Span> x, gains, y;
  for (size_t i = 0; i < calls.size(); ++i) {
    const HeadsCall& call = calls[i];
    const auto count = static_cast<uint32_t>(call.shape[1].factor());
    parameters.all_heads += count;
    parameters.tensors[i] = {.heads = count,
                             .width = static_cast<uint32_t>(call.shape[2].factor()),
                             .pairs = call.pairs,
                             .flags = (call.has_gain ? heads::NORM : 0) |
                                      (call.neox ? heads::NEOX : 0) |
                                      (call.has_factors ? heads::FACTORS : 0),
                             .target = call.target};
    if (call.target == CacheFormat(DType::kQ8_0) + 1) constants.IN_BLOCKS = true;
    if (call.target != heads::TENSOR) {
      parameters.slot_count = call.slot_count;
      parameters.block_size = call.block_size;
      common.slots = call.slots;
    }
    x.push_back(call.x);
    gains.push_back(OrSizes(call.gain));
    y.push_back(call.y);
  }
  return out.Dispatch("heads", constants,
                      heads::Bindings{.x = x,
                                      .gain = gains,
                                      .y = y,
                                      .positions = OrSizes(common.positions),
                                      .slots = OrSizes(common.slots),
                                      .factors = OrSizes(common.factors),
                                      .speeds = OrSizes(common.speeds),
                                      .errors = out.ErrorSlot()},
                      parameters,
                      {GroupsFor(out.Bound(parameters.tokens) * parameters.all_heads, 1), 1, 1});
}

void StoreInCache(const Operand& cache, const Operand& slots, HeadsCall* call,
                  const Lowering& out) {
  const TensorType& type = cache.type();
  call->target = CacheFormat(type.dtype) + 1;
  call->y = cache.span;
  call->slots = slots.span;
  call->slot_count = out.Elements({type.shape[0], type.shape[2]});
  call->block_size = static_cast<uint32_t>(type.shape[2].factor());
}

absl::Status CheckHeadWidth(const Value& heads) {
  const Shape& shape = heads.type().shape;
  if (!shape[1].is_constant() || !shape[2].is_constant()) {
    return absl::UnimplementedError("the number or the width of the heads is a symbol");
  }
  if (shape[2].factor() <= heads::MAX_WIDTH) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("heads of ", shape[2].factor(),
                                               " elements, expected at most ", heads::MAX_WIDTH));
}

}  // namespace sluice::vulkan
