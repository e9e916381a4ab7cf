// Mixture of experts: tables of tiles.
#include <algorithm>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "graph/ops/expert_tiles.h"
#include "graph/ops/moe.h"
#include "graph/ops/ops.h"
#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

absl::StatusOr<std::vector<TensorType>> InferExpertTiles(const OpCall& call) {
  SLUICE_ASSIGN_OR_RETURN(const DimBindings dims, MatchOperands(call));
  SLUICE_RETURN_IF_ERROR(ConstantDim(call, dims, "offsets").status());
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  const int64_t most = call.Int("most");
  if (most < 1 || most > kMax) return AttrError(call, "most", absl::StrCat("1..", kMax));
  const Shape& rows = call.ShapeOf("rows");
  if (rows.size() != 1) return AttrError(call, "rows", "one dimension");
  return std::vector<TensorType>{{DType::kI32, {rows[0], kTileNumbers}}};
}

absl::Status EvalExpertTiles(const EvalContext& context) {
  return TileExperts(As<ExpertTilesCall>(context).offsets, context.call.Int("most"),
                     context.results[0]);
}

OpDef ExpertTiles() {
  return {
      .name = "expert_tiles",
      .family = "moe",
      .doc =
          "Grouped rows in tiles of one expert and at most `most` rows each, in ascending order: "
          "tiles[i,:] is the tile's first row, its number of rows and its expert. Expert e has "
          "ceil((offsets[e+1] - offsets[e]) / most) tiles, of which the last may have fewer rows. "
          "What is behind the last tile is 0. Kernels look up there which rows meet which matrix. "
          "Offsets that do not ascend from 0 to the number of rows are an error.",
      .operands =
          Named(ExpertTilesCall<OperandSpec>{.offsets = {.doc = "i32[offsets], as of moe_gather",
                                                         .below = "rows",
                                                         .or_equal = true,
                                                         .order = IndexOrder::kAscending}}),
      .results = {{"tiles", "i32[rows,3]"}},
      .attrs = {{"most", AttrKind::kInt, "rows of a tile", std::nullopt, {}},
                {"rows", AttrKind::kShape, "number of rows, one dimension", std::nullopt, {}}},
      .infer = InferExpertTiles,
      .eval = EvalExpertTiles,
      .expands_to = "",
  };
}

}  // namespace

absl::Status TileExperts(const TensorView& offsets, int64_t most, const TensorView& tiles) {
  const int32_t* begin = offsets.i32();
  const int64_t experts = offsets.elements() - 1, rows = tiles.dim(0);
  if (*begin != 0 || begin[experts] != rows || !std::is_sorted(begin, begin + experts + 1)) {
    return absl::OutOfRangeError(absl::StrCat("'expert_tiles': offsets go from ", *begin, " to ",
                                              begin[experts], ", expected to ascend from 0 to ",
                                              rows, ", the number of rows"));
  }
  int32_t* tile = tiles.i32();
  for (int64_t e = 0; e < experts; ++e) {
    for (int64_t first = begin[e]; first < begin[e + 1]; first += most) {
      *tile++ = static_cast<int32_t>(first);
      *tile++ = static_cast<int32_t>(std::min(most, begin[e + 1] - first));
      *tile++ = static_cast<int32_t>(e);
    }
  }
  std::fill(tile, tiles.i32() + tiles.elements(), 0);
  return absl::OkStatus();
}

absl::Status RegisterExpertTiles(OpRegistry& registry) { return registry.Register(ExpertTiles()); }

}  // namespace sluice
