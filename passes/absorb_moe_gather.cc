// absorb_moe_gather: for few tokens the experts are computed token by token, straight from the
// tokens' rows: nothing is grouped, copied and put back.
//
//   before   %rows, %row_of, %offsets = moe_gather(%x, %ids) {experts=8}
//            %h = expert_glu(%rows, @gate, @up, %offsets) {act=silu}
//            %d = expert_matmul(%h, @down, %offsets)
//            %y = scaled_add(%d, %p, %row_of, %r)
//   after    %h.2 = indexed_expert_glu(%x, @gate, @up, %ids) {act=silu}
//            %d.2 = indexed_expert_matmul(%h.2, @down, %ids)
//            %y = scaled_add(%d.2, %p, _, %r)
//
// Token by token, an expert that several tokens chose is read several times; grouped, once. With E
// experts, k of them used and t tokens that choose evenly, E (1 - (1 - k/E)^t) experts are read at
// least once, of t k reads. The pass runs while the reads are at most 15% more than the experts:
// always for one token, for 4 of Qwen3-30B-A3B (128 experts, 8 used), for 2 of Mixtral (8, 2).
// Not where the rows between are used elsewhere.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sluice {
namespace {

constexpr double kMostReadsPerExpert = 1.15;

std::string RefuseRepeatedReads(const Match& match, const Graph& graph, const CompileContext&) {
  const absl::StatusOr<int64_t> bound =
      graph.Bounds().Evaluate(match.value("ids")->type().shape[0]);
  if (!bound.ok()) return std::string(bound.status().message());
  const auto tokens = static_cast<double>(*bound);
  const auto used = static_cast<double>(match.value("ids")->type().shape[1].factor());
  const auto experts = static_cast<double>(match.value("down")->type().shape[0].factor());
  const double read = experts * (1 - std::pow(1 - used / experts, tokens));
  const double reads_per_expert = tokens * used / read;
  if (reads_per_expert <= kMostReadsPerExpert) return "";
  return absl::StrFormat(
      "with up to %d tokens, %d of %d experts each, one is read %.2f times; at most %.2f pays",
      *bound, static_cast<int64_t>(used), static_cast<int64_t>(experts), reads_per_expert,
      kMostReadsPerExpert);
}

}  // namespace

absl::StatusOr<bool> AbsorbMoeGather(Graph& graph, const CompileContext& context) {
  const Rewrite rewrite = {
      .before =
          "%rows, %row_of, %offsets = moe_gather(%x, %ids) {experts=$experts}\n"
          "%h = expert_glu(%rows, %gate, %up, %offsets) {act=$act}\n"
          "%d = expert_matmul(%h, %down, %offsets, %bias?)\n"
          "%y = scaled_add(%d, %p, %row_of, %r?)",
      .after =
          "%h' = indexed_expert_glu(%x, %gate, %up, %ids) {act=$act}\n"
          "%d' = indexed_expert_matmul(%h', %down, %ids, %bias?)\n"
          "%y = scaled_add(%d', %p, _, %r?)",
      .refuse = RefuseRepeatedReads};
  return ApplyRewrites(graph, context, {rewrite}, "absorb_moe_gather");
}

}  // namespace sluice
