#include "backends/vulkan/kernels/heads.h"

#include <array>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/formats.h"

namespace sluice::vulkan {
namespace {

// As in shaders/heads.comp.
constexpr int64_t kMaxWidth = 1024;
constexpr uint32_t kNorm = 1, kNeox = 2, kFactors = 4;
constexpr size_t kMostTensors = 3;

struct TensorPush {
  uint32_t heads, width, pairs, flags, target;
};
struct Push {
  Size tokens, slot_count;
  uint32_t block_size, all_heads;
  float eps, magnitude;
  std::array<TensorPush, kMostTensors> tensors;
};

// A binding must be something: what is left out of the call is bound to the sizes.
Span OrSizes(const Span& span) {
  return span.bytes > 0 ? span : Span{.region = Region::kStep, .bytes = kSymbolBytes};
}

}  // namespace

absl::Status AddHeads(absl::Span<const HeadsCall> calls, Lowering& out) {
  // What the shader has once for all tensors comes from the calls that have it, all with the same.
  HeadsCall common = calls[0];
  Push push = {.tokens = out.Elements({common.shape[0]}),
               .slot_count = {},
               .block_size = 0,
               .all_heads = 0,
               .eps = common.eps,
               .magnitude = common.magnitude,
               .tensors = {}};
  uint32_t in_blocks = 0;
  std::vector<Binding> x, gains, y;
  for (size_t i = 0; i < calls.size(); ++i) {
    const HeadsCall& call = calls[i];
    const auto heads = static_cast<uint32_t>(call.shape[1].factor());
    push.all_heads += heads;
    push.tensors[i] = {.heads = heads,
                       .width = static_cast<uint32_t>(call.shape[2].factor()),
                       .pairs = call.pairs,
                       .flags = (call.has_gain ? kNorm : 0) | (call.neox ? kNeox : 0) |
                                (call.has_factors ? kFactors : 0),
                       .target = call.target};
    if (call.target == CacheFormat(DType::kQ8_0) + 1) in_blocks = 1;
    if (call.target != 0) {
      push.slot_count = call.slot_count;
      push.block_size = call.block_size;
      common.slots = call.slots;
    }
    x.push_back(Reads(call.x));
    gains.push_back(Reads(OrSizes(call.gain)));
    y.push_back(Writes(call.y));
  }
  std::vector<Binding> bindings = std::move(x);
  bindings.insert(bindings.end(), gains.begin(), gains.end());
  bindings.insert(bindings.end(), y.begin(), y.end());
  for (const Span& span : {common.positions, common.slots, common.factors, common.speeds}) {
    bindings.push_back(Reads(OrSizes(span)));
  }
  bindings.push_back(Writes(out.ErrorSlot()));
  const auto tensors = static_cast<uint32_t>(calls.size());
  return out.Dispatch(
      {.name = "heads", .constants = {in_blocks, tensors}, .arrays = {tensors, tensors, tensors}},
      std::move(bindings), push, {GroupsFor(out.Bound(push.tokens) * push.all_heads, 1), 1, 1});
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
