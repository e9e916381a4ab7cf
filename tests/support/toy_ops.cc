#include "tests/support/toy_ops.h"

#include <cstdlib>
#include <utility>

namespace sluice {
namespace {

using Types = absl::StatusOr<std::vector<TensorType>>;

absl::Status NoEval(const EvalContext&) { return absl::UnimplementedError("toy ops do not run"); }

Types SameType(const OpCall& call) { return std::vector<TensorType>{*call.operands.front()}; }

Types BothTypes(const OpCall& call) {
  return std::vector<TensorType>{*call.operands.front(), *call.operands.back()};
}

OpDef Op(std::string name, std::vector<OperandDef> operands, std::vector<ResultDef> results,
         std::vector<AttrDef> attrs = {}, Types (*infer)(const OpCall&) = SameType) {
  OpDef def;
  def.name = std::move(name);
  def.family = "toy";
  def.doc = "For tests.";
  def.operands = std::move(operands);
  def.results = std::move(results);
  def.attrs = std::move(attrs);
  def.infer = infer;
  def.eval = NoEval;
  return def;
}

OpDef Pair() {
  return Op("pair", {{"x", "any"}}, {{"y", ""}, {"z", ""}}, {}, [](const OpCall& call) -> Types {
    const TensorType& x = *call.operands.front();
    return std::vector<TensorType>{x, {DType::kI32, x.shape}};
  });
}

OpDef Make() {
  return Op("make", {}, {{"y", ""}}, {}, [](const OpCall&) -> Types {
    return std::vector<TensorType>{{DType::kF32, {2}}};
  });
}

OpDef View() {
  OpDef def =
      Op("view", {{"x", "any"}}, {{"y", ""}}, {{"to", AttrKind::kShape, "", {}, {}}},
         [](const OpCall& call) -> Types {
           return std::vector<TensorType>{{call.operands.front()->dtype, call.ShapeOf("to")}};
         });
  def.is_view = true;
  return def;
}

OpDef Fork() {
  return Op("fork", {{"x", "any"}}, {{"y", ""}}, {}, [](const OpCall& call) -> Types {
    TensorType type = *call.operands.front();
    type.is_state = true;
    return std::vector<TensorType>{type};
  });
}

OpDef Fickle() {
  return Op("fickle", {{"x", "any"}}, {{"y", ""}}, {{"i", AttrKind::kInt, "", int64_t{0}, {}}},
            [](const OpCall& call) -> Types {
              if (call.Int("i") == 0) return SameType(call);
              return absl::InvalidArgumentError("'fickle' changed its mind");
            });
}

OpRegistry MakeToyOps() {
  const std::vector<AttrDef> options = {
      {"i", AttrKind::kInt, "", int64_t{1}, {}},
      {"f", AttrKind::kFloat, "", 0.5, {}},
      {"b", AttrKind::kBool, "", false, {}},
      {"s", AttrKind::kString, "", std::string("plain"), {}},
      {"shape", AttrKind::kShape, "", Shape{}, {}},
      {"mode", AttrKind::kString, "", std::string("fast"), {"fast", "slow"}},
  };
  OpRegistry registry;
  absl::Status status;
  for (OpDef& def : std::vector<OpDef>{
           Op("neg", {{"x", "any"}}, {{"y", ""}}),
           Op("join", {{"a", "any"}, {"b", "any", /*optional=*/true}, {"c", "any", true}},
              {{"y", ""}}),
           Op("pack", {{"xs", "any", false, /*variadic=*/true}}, {{"y", ""}}), Pair(), Make(),
           Op("opts", {{"x", "any"}}, {{"y", ""}}, options),
           Op("need", {{"x", "any"}}, {{"y", ""}}, {{"n", AttrKind::kInt, "how many", {}, {}}}),
           View(), Op("bump", {{"x", "any"}}, {{"x", "", /*aliases=*/0}}),
           Op("bump_both", {{"x", "any"}, {"y", "any"}},
              {{"x", "", /*aliases=*/0}, {"y", "", /*aliases=*/1}}, {}, BothTypes),
           Op("update", {{"cache", "state"}, {"x", "any"}}, {{"cache", "", /*aliases=*/0}}), Fork(),
           Fickle(),
           Op("over", {{"x", "any"}, {"y", "any"}}, {{"z", "", /*aliases=*/-1, /*in_place=*/0}})}) {
    status.Update(registry.Register(std::move(def)));
  }
  if (!status.ok()) std::abort();
  return registry;
}

}  // namespace

const OpRegistry& ToyOps() {
  static const OpRegistry registry = MakeToyOps();
  return registry;
}

}  // namespace sluice
