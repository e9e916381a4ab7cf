// Vulkan kernels of the norm and rope family.
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/kernels/heads.h"
#include "backends/vulkan/shaders/layer_norm.inc"
#include "backends/vulkan/shaders/rms_norm.inc"
#include "graph/ops/norm_rope.h"
#include "graph/ops/rope_frequencies.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

// --- Norms ----------------------------------------------------------------------------------

int64_t RowGroups(const Operand& x, const Lowering& out) {
  const Shape& shape = x.shape();
  return GroupsFor(out.Bound(out.Elements(shape)) / out.Bound(out.Elements({shape.back()})), 1);
}

rms_norm::Parameters RmsNormOf(const Operand& x, const Operand& gain, const Lowering& out) {
  const Shape& shape = x.shape();
  return {.elements = out.Elements(shape),
          .columns = out.Elements({shape.back()}),
          .eps = static_cast<float>(out.call().Float("eps")),
          .has_gain = gain.is_given()};
}

absl::Status LowerRmsNorm(Lowering& out) {
  const auto in = As<RmsNormCall>(out);
  return out.Dispatch(
      "rms_norm",
      rms_norm::Bindings{
          .x = in.x.span, .gain = in.weight.span, .y = out.Result(0), .b = {}, .sum = {}},
      RmsNormOf(in.x, in.weight, out), {RowGroups(in.x, out), 1, 1});
}

absl::Status LowerAddRmsNorm(Lowering& out) {
  const auto in = As<AddRmsNormCall>(out);
  return out.Dispatch("add_rms_norm",
                      rms_norm::Bindings{.x = in.a.span,
                                         .gain = in.weight.span,
                                         .y = out.Result(1),
                                         .b = in.b.span,
                                         .sum = out.Result(0)},
                      RmsNormOf(in.a, in.weight, out), {RowGroups(in.a, out), 1, 1});
}

absl::Status LowerLayerNorm(Lowering& out) {
  const auto in = As<LayerNormCall>(out);
  const Shape& shape = in.x.shape();
  return out.Dispatch(
      "layer_norm",
      layer_norm::Bindings{
          .x = in.x.span, .gain = in.weight.span, .bias = in.bias.span, .y = out.Result(0)},
      layer_norm::Parameters{.elements = out.Elements(shape),
                             .columns = out.Elements({shape.back()}),
                             .eps = static_cast<float>(out.call().Float("eps")),
                             .has_gain = in.weight.is_given(),
                             .has_bias = in.bias.is_given()},
      {RowGroups(in.x, out), 1, 1});
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
absl::Status Rotate(const Operand& positions, const Operand& factors, HeadsCall* heads,
                    Lowering& out) {
  SLUICE_ASSIGN_OR_RETURN(const RopeFrequencies frequencies,
                          ComputeRopeFrequencies(RopeParamsOf(out.call()), {}));
  std::vector<uint32_t> words;
  constexpr double kTurn = 2 * 3.14159265358979323846;
  for (const double speed : frequencies.inverse) AppendFraction(speed / kTurn, &words);
  heads->pairs = static_cast<uint32_t>(frequencies.inverse.size());
  heads->neox = out.call().String("style") == "neox";
  heads->has_factors = factors.is_given();
  heads->magnitude = static_cast<float>(frequencies.magnitude);
  heads->positions = positions.span;
  heads->factors = factors.span;
  heads->speeds = out.Table(words);
  return absl::OkStatus();
}

absl::Status LowerRope(Lowering& out) {
  const auto in = As<RopeCall>(out);
  HeadsCall heads = {.x = in.x.span, .shape = in.x.shape()};
  SLUICE_RETURN_IF_ERROR(Rotate(in.positions, in.freq_factors, &heads, out));
  heads.y = out.Result(0);
  return AddHeads({heads}, out);
}

// A call whose heads are those of `x`, normed if `gain` is there.
HeadsCall NormedHeads(HeadsCall heads, const Operand& x, const Operand& gain, const Lowering& out) {
  heads.x = x.span;
  heads.shape = x.shape();
  heads.gain = gain.span;
  heads.has_gain = gain.is_given();
  heads.eps = static_cast<float>(out.call().Float("eps"));
  return heads;
}

absl::Status LowerQkNormRope(Lowering& out) {
  const auto in = As<QkNormRopeCall>(out);
  HeadsCall rotated;
  SLUICE_RETURN_IF_ERROR(Rotate(in.positions, in.freq_factors, &rotated, out));
  HeadsCall q = NormedHeads(rotated, in.q, in.q_norm, out);
  HeadsCall k = NormedHeads(rotated, in.k, in.k_norm, out);
  q.y = out.Result(0);
  k.y = out.Result(1);
  return AddHeads({q, k}, out);
}

absl::Status LowerQkNormRopeAppend(Lowering& out) {
  const auto in = As<QkNormRopeAppendCall>(out);
  HeadsCall rotated;
  SLUICE_RETURN_IF_ERROR(Rotate(in.positions, in.freq_factors, &rotated, out));
  HeadsCall q = NormedHeads(rotated, in.q, in.q_norm, out);
  q.y = out.Result(0);
  HeadsCall k = NormedHeads(rotated, in.k, in.k_norm, out);
  StoreInCache(in.k_cache, in.slots, &k, out);
  HeadsCall v = {.x = in.v.span, .shape = in.v.shape()};
  StoreInCache(in.v_cache, in.slots, &v, out);
  return AddHeads({q, k, v}, out);
}

absl::Status AcceptsRope(const Node& node, const proto::DeviceCaps&) {
  return CheckHeadWidth(*As<RopeCall>(node).x);
}
absl::Status AcceptsQkNormRope(const Node& node, const proto::DeviceCaps&) {
  return CheckHeadWidth(*As<QkNormRopeCall>(node).q);
}
absl::Status AcceptsAppend(const Node& node, const proto::DeviceCaps&) {
  const auto in = As<QkNormRopeAppendCall>(node);
  SLUICE_RETURN_IF_ERROR(CheckHeadWidth(*in.k));
  return CheckHeadWidth(*in.v);
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
      {{"vulkan.rope", "rope", "a workgroup a head, angles in integers", AcceptsRope}, LowerRope});
  kernels->push_back({{"vulkan.qk_norm_rope", "qk_norm_rope",
                       "a workgroup a head, q and k in one dispatch", AcceptsQkNormRope},
                      LowerQkNormRope});
  kernels->push_back(
      {{"vulkan.qk_norm_rope_append", "qk_norm_rope_append",
        "as vulkan.qk_norm_rope, keys and values going straight to the cache", AcceptsAppend},
       LowerQkNormRopeAppend});
}

}  // namespace sluice::vulkan
