// Vulkan kernels of the norm and rope family.
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/kernels/heads.h"
#include "backends/vulkan/shaders/layer_norm.inc"
#include "backends/vulkan/shaders/rms_norm.inc"
#include "graph/ops/rope_frequencies.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

// --- Norms ----------------------------------------------------------------------------------

int64_t RowGroups(const Lowering& out) {
  const Shape& shape = out.node().operand(0)->type().shape;
  return GroupsFor(out.Bound(out.Elements(shape)) / out.Bound(out.Elements({shape.back()})), 1);
}

rms_norm::Parameters RmsNormOf(const Lowering& out, size_t gain) {
  const Shape& shape = out.node().operand(0)->type().shape;
  return {.elements = out.Elements(shape),
          .columns = out.Elements({shape.back()}),
          .eps = static_cast<float>(out.call().Float("eps")),
          .has_gain = out.Has(gain)};
}

absl::Status LowerRmsNorm(Lowering& out) {
  return out.Dispatch(
      "rms_norm",
      rms_norm::Bindings{
          .x = out.Operand(0), .gain = out.Operand(1), .y = out.Result(0), .b = {}, .sum = {}},
      RmsNormOf(out, 1), {RowGroups(out), 1, 1});
}

absl::Status LowerAddRmsNorm(Lowering& out) {
  return out.Dispatch("add_rms_norm",
                      rms_norm::Bindings{.x = out.Operand(0),
                                         .gain = out.Operand(2),
                                         .y = out.Result(1),
                                         .b = out.Operand(1),
                                         .sum = out.Result(0)},
                      RmsNormOf(out, 2), {RowGroups(out), 1, 1});
}

absl::Status LowerLayerNorm(Lowering& out) {
  const Shape& shape = out.node().operand(0)->type().shape;
  return out.Dispatch(
      "layer_norm",
      layer_norm::Bindings{
          .x = out.Operand(0), .gain = out.Operand(1), .bias = out.Operand(2), .y = out.Result(0)},
      layer_norm::Parameters{.elements = out.Elements(shape),
                             .columns = out.Elements({shape.back()}),
                             .eps = static_cast<float>(out.call().Float("eps")),
                             .has_gain = out.Has(1),
                             .has_bias = out.Has(2)},
      {RowGroups(out), 1, 1});
}

// --- Rotation -------------------------------------------------------------------------------

// A fraction of a turn as 64 bits, the high word first.
void AppendFraction(double turns, std::vector<uint32_t>* words) {
  const double fraction = turns - std::floor(turns);
  const double high = std::floor(std::ldexp(fraction, 32));
  words->push_back(static_cast<uint32_t>(high));
  words->push_back(static_cast<uint32_t>(std::ldexp(std::ldexp(fraction, 32) - high, 32)));
}

// Fills in what the heads of an op with a rotation have in common.
absl::Status Rotate(size_t positions, size_t factors, HeadsCall* heads, Lowering& out) {
  SLUICE_ASSIGN_OR_RETURN(const RopeFrequencies frequencies,
                          ComputeRopeFrequencies(RopeParamsOf(out.call()), {}));
  std::vector<uint32_t> words;
  constexpr double kTurn = 2 * 3.14159265358979323846;
  for (const double speed : frequencies.inverse) AppendFraction(speed / kTurn, &words);
  heads->pairs = static_cast<uint32_t>(frequencies.inverse.size());
  heads->neox = out.call().String("style") == "neox";
  heads->has_factors = out.Has(factors);
  heads->magnitude = static_cast<float>(frequencies.magnitude);
  heads->positions = out.Operand(positions);
  heads->factors = out.Operand(factors);
  heads->speeds = out.Table(words);
  return absl::OkStatus();
}

absl::Status LowerRope(Lowering& out) {
  HeadsCall heads = {.x = out.Operand(0), .shape = out.node().operand(0)->type().shape};
  SLUICE_RETURN_IF_ERROR(Rotate(1, 2, &heads, out));
  heads.y = out.Result(0);
  return AddHeads({heads}, out);
}

// A call whose heads are those of operand `x`, normed if operand `gain` is there.
HeadsCall NormedHeads(HeadsCall heads, size_t x, size_t gain, const Lowering& out) {
  heads.x = out.Operand(x);
  heads.shape = out.node().operand(x)->type().shape;
  heads.gain = out.Operand(gain);
  heads.has_gain = out.Has(gain);
  heads.eps = static_cast<float>(out.call().Float("eps"));
  return heads;
}

absl::Status LowerQkNormRope(Lowering& out) {
  HeadsCall rotated;
  SLUICE_RETURN_IF_ERROR(Rotate(2, 5, &rotated, out));
  HeadsCall q = NormedHeads(rotated, 0, 3, out), k = NormedHeads(rotated, 1, 4, out);
  q.y = out.Result(0);
  k.y = out.Result(1);
  return AddHeads({q, k}, out);
}

absl::Status LowerQkNormRopeAppend(Lowering& out) {
  HeadsCall rotated;
  SLUICE_RETURN_IF_ERROR(Rotate(5, 9, &rotated, out));
  HeadsCall q = NormedHeads(rotated, 2, 7, out);
  q.y = out.Result(0);
  HeadsCall k = NormedHeads(rotated, 3, 8, out);
  StoreInCache(/*cache=*/0, /*slots=*/6, &k, out);
  HeadsCall v = {.x = out.Operand(4), .shape = out.node().operand(4)->type().shape};
  StoreInCache(/*cache=*/1, /*slots=*/6, &v, out);
  return AddHeads({q, k, v}, out);
}

template <size_t kX>
absl::Status AcceptsHeads(const Node& node, const proto::DeviceCaps&) {
  return CheckHeadWidth(*node.operand(kX));
}
absl::Status AcceptsAppend(const Node& node, const proto::DeviceCaps& caps) {
  SLUICE_RETURN_IF_ERROR(AcceptsHeads<3>(node, caps));
  return AcceptsHeads<4>(node, caps);
}

}  // namespace

void AddNormRopeKernels(std::vector<VulkanKernel>* kernels) {
  kernels->push_back(
      {{"vulkan.rms_norm", "rms_norm", "a workgroup a row", AcceptsAll}, LowerRmsNorm});
  kernels->push_back(
      {{"vulkan.layer_norm", "layer_norm", "a workgroup a row", AcceptsAll}, LowerLayerNorm});
  kernels->push_back(
      {{"vulkan.add_rms_norm", "add_rms_norm", "a workgroup a row", AcceptsAll}, LowerAddRmsNorm});
  kernels->push_back(
      {{"vulkan.rope", "rope", "a workgroup a head, angles in integers", AcceptsHeads<0>},
       LowerRope});
  kernels->push_back({{"vulkan.qk_norm_rope", "qk_norm_rope",
                       "a workgroup a head, q and k in one dispatch", AcceptsHeads<0>},
                      LowerQkNormRope});
  kernels->push_back(
      {{"vulkan.qk_norm_rope_append", "qk_norm_rope_append",
        "as vulkan.qk_norm_rope, keys and values going straight to the cache", AcceptsAppend},
       LowerQkNormRopeAppend});
}

}  // namespace sluice::vulkan
