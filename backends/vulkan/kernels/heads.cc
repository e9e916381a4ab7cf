#include "backends/vulkan/kernels/heads.h"

#include "absl/strings/str_cat.h"
#include "backends/vulkan/formats.h"

namespace sluice::vulkan {
namespace {

// As in shaders/heads.comp.
constexpr int64_t kMaxWidth = 1024;
constexpr uint32_t kNorm = 1, kNeox = 2, kFactors = 4;

struct Push {
  Size tokens, slot_count;
  uint32_t heads, width, pairs, flags, target, block_size;
  float eps, magnitude;
};

// A binding must be something: what is left out of the call is bound to the sizes.
Span OrSizes(const Span& span) {
  return span.bytes > 0 ? span : Span{.region = Region::kStep, .bytes = kSymbolBytes};
}

}  // namespace

absl::Status AddHeads(const HeadsCall& call, Lowering& out) {
  const Push push = {.tokens = out.Elements({call.shape[0]}),
                     .slot_count = call.slot_count,
                     .heads = static_cast<uint32_t>(call.shape[1].factor()),
                     .width = static_cast<uint32_t>(call.shape[2].factor()),
                     .pairs = call.pairs,
                     .flags = (call.has_gain ? kNorm : 0) | (call.neox ? kNeox : 0) |
                              (call.has_factors ? kFactors : 0),
                     .target = call.target,
                     .block_size = call.block_size,
                     .eps = call.eps,
                     .magnitude = call.magnitude};
  const uint32_t in_blocks = call.target == CacheFormat(DType::kQ8_0) + 1;
  return out.Dispatch({"heads", {in_blocks}},
                      {Reads(call.x), Reads(OrSizes(call.gain)), Reads(OrSizes(call.positions)),
                       Reads(OrSizes(call.slots)), Reads(OrSizes(call.factors)),
                       Reads(OrSizes(call.speeds)), Writes(call.y), Writes(out.ErrorSlot())},
                      push, {GroupsFor(out.Bound(push.tokens) * push.heads, 1), 1, 1});
}

void StoreInCache(size_t cache, size_t slots, HeadsCall* call, const Lowering& out) {
  const TensorType& type = out.node().operand(cache)->type();
  call->target = CacheFormat(type.dtype) + 1;
  call->y = out.Operand(cache);
  call->slots = out.Operand(slots);
  call->slot_count = out.Elements({type.shape[0], type.shape[2]});
  call->block_size = static_cast<uint32_t>(type.shape[2].factor());
}

absl::Status CheckHeadWidth(const Value& heads) {
  const Shape& shape = heads.type().shape;
  if (!shape[1].is_constant() || !shape[2].is_constant()) {
    return absl::UnimplementedError("the number or the width of the heads is a symbol");
  }
  if (shape[2].factor() <= kMaxWidth) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat("heads of ", shape[2].factor(), " elements, expected at most ", kMaxWidth));
}

}  // namespace sluice::vulkan
