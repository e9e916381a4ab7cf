// Vulkan kernels of the attention family.
#include "absl/strings/str_cat.h"
#include "backends/vulkan/kernels/heads.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

constexpr int64_t kMaxWidth = 512;  // as in shaders/attention.comp

absl::Status LowerKvAppend(Lowering& out) {
  for (size_t i = 0; i < 2; ++i) {
    HeadsCall heads = {.x = out.Operand(2 + i), .shape = out.node().operand(2 + i)->type().shape};
    StoreInCache(/*cache=*/i, /*slots=*/4, &heads, out);
    SLUICE_RETURN_IF_ERROR(AddHeads(heads, out));
  }
  return absl::OkStatus();
}

absl::Status AcceptsKvAppend(const Node& node, const proto::DeviceCaps&) {
  SLUICE_RETURN_IF_ERROR(CheckHeadWidth(*node.operand(2)));
  return CheckHeadWidth(*node.operand(3));
}

absl::Status AcceptsAttention(const Node& node, const proto::DeviceCaps&) {
  for (size_t i : {1, 2}) {
    const int64_t width = node.operand(i)->type().shape[3].factor();
    if (width <= kMaxWidth) continue;
    return absl::UnimplementedError(
        absl::StrCat("heads of ", width, " elements, expected at most ", kMaxWidth));
  }
  return absl::OkStatus();
}

uint32_t FormatOf(DType dtype) {
  if (dtype == DType::kF32) return 0;
  return dtype == DType::kF16 ? 1 : 2;
}

absl::Status LowerAttention(Lowering& out) {
  const TensorType& q = out.node().operand(0)->type();
  const TensorType& k = out.node().operand(1)->type();
  const TensorType& v = out.node().operand(2)->type();
  const Shape& tables = out.node().operand(5)->type().shape;
  const auto constant = [](const Dim& dim) { return static_cast<uint32_t>(dim.factor()); };
  struct {
    Size tokens, seqs, table, blocks;
    uint32_t heads, kv_heads, k_width, v_width, block_size;
    float scale;
    uint32_t causal, window;
  } const push = {
      .tokens = out.Elements({q.shape[0]}),
      .seqs = out.Elements({tables[0]}),
      .table = out.Elements({tables[1]}),
      .blocks = out.Elements({k.shape[0]}),
      .heads = constant(q.shape[1]),
      .kv_heads = constant(k.shape[1]),
      .k_width = constant(k.shape[3]),
      .v_width = constant(v.shape[3]),
      .block_size = constant(k.shape[2]),
      .scale = static_cast<float>(out.call().Float("scale")),
      .causal = out.call().Bool("causal"),
      .window = static_cast<uint32_t>(out.call().Int("window")),
  };
  std::vector<Binding> bindings;
  for (size_t i = 0; i < 7; ++i) bindings.push_back(Reads(out.Operand(i)));
  bindings.push_back(Writes(out.Result(0)));
  bindings.push_back(Writes(out.ErrorSlot()));
  return out.Dispatch({"attention", {FormatOf(k.dtype), FormatOf(v.dtype)}}, std::move(bindings),
                      push, {GroupsFor(out.Bound(push.tokens) * push.heads, 1), 1, 1});
}

}  // namespace

void AddAttentionKernels(std::vector<VulkanKernel>* kernels) {
  kernels->push_back(
      {{"vulkan.kv_append", "kv_append", "a workgroup a head", AcceptsKvAppend}, LowerKvAppend});
  kernels->push_back({{"vulkan.attention", "attention",
                       "a workgroup a head of a token, 64 keys at a time", AcceptsAttention},
                      LowerAttention});
}

}  // namespace sluice::vulkan
