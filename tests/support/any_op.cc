#include "tests/support/any_op.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "graph/decoder_interface.h"

namespace sluice {
namespace {

constexpr int kAttempts = 30;

// What an operand's doc says besides its type.
absl::string_view RestOf(const OperandDef& operand) {
  return absl::string_view(operand.doc).substr(operand.type->text.size());
}

bool IsSymbolic(const Shape& shape) {
  return std::any_of(shape.begin(), shape.end(), [](const Dim& dim) { return !dim.is_constant(); });
}

// Makes the operands and attributes of one node of an op.
class NodeMaker {
 public:
  NodeMaker(GraphComposer& composer, const OpDef& op) : c_(composer), op_(op) {}

  bool Add() {
    if (!ChooseAttributes()) return false;
    std::vector<Choice> choices;
    for (const OperandDef& operand : op_.operands) {
      const bool left_out = operand.optional && c_.Chance(40);
      choices.push_back(left_out ? Choice{&operand, std::nullopt} : Choose(operand));
      if (operand.variadic) Repeat(&choices);
    }
    ChooseShapes(choices[0].type->shape);
    if (!Fits(choices)) return false;
    std::vector<Value*> operands;
    for (const Choice& choice : choices) operands.push_back(Make(choice));
    std::vector<std::string> names;
    for (const ResultDef& result : op_.results) names.push_back(result.name);
    c_.Ops(std::move(names), op_.name, std::move(operands), attrs_);
    return true;
  }

 private:
  // A value, a source to be made, or (without a type) nothing.
  struct Choice {
    const OperandDef* operand;
    std::optional<TensorType> type;
    Value* value = nullptr;
  };

  bool ChooseAttributes() {
    for (const AttrDef& attr : op_.attrs) {
      if (attr.default_value.has_value() && c_.Chance(50)) {
        if (attr.kind == AttrKind::kInt) BindDim(attr.name, *attr.default_value);
        continue;
      }
      switch (attr.kind) {
        case AttrKind::kInt:
          // As small as sizes are: operands' docs may name the attribute as a size of theirs.
          attrs_.Set(attr.name, c_.Pick<int64_t>({0, 1, 2, 2, 4, 4, 8}));
          BindDim(attr.name, *attrs_.Find(attr.name));
          break;
        case AttrKind::kFloat:
          attrs_.Set(attr.name, c_.Pick({0.5, 1.0, 1.5, 2.0}));
          break;
        case AttrKind::kBool:
          attrs_.Set(attr.name, c_.Chance(50));
          break;
        case AttrKind::kString:
          if (attr.choices.empty()) return false;
          attrs_.Set(attr.name, c_.Pick(attr.choices));
          break;
        case AttrKind::kShape:
          break;  // depends on the operands
      }
    }
    return true;
  }

  void BindDim(const std::string& attr, const AttrValue& value) {
    dims_.emplace(attr, Dim(std::get<int64_t>(value)));
  }

  // "q_shape" is for a product of [t,q_out], if the docs have these.
  std::optional<Shape> ProductShape(const std::string& attr) const {
    const auto rows = dims_.find("t");
    const auto out = dims_.find(absl::StrCat(absl::StripSuffix(attr, "shape"), "out"));
    if (rows == dims_.end() || out == dims_.end()) return std::nullopt;
    return Shape{rows->second, out->second};
  }

  void ChooseShapes(const Shape& x) {
    for (const AttrDef& attr : op_.attrs) {
      if (attr.kind != AttrKind::kShape) continue;
      Shape shape = ProductShape(attr.name).value_or(x);
      if (shape.size() > 1 && c_.Chance(40)) {
        const absl::StatusOr<Dim> joined = Dim::Product(shape[0], shape[1]);
        if (joined.ok()) {
          shape.erase(shape.begin());
          shape[0] = *joined;
        }
      } else if (!shape.empty() && shape.back().factor() % 4 == 0 && c_.Chance(80)) {
        const Dim parts = shape.back().is_constant()
                              ? Dim(shape.back().factor() / 4)
                              : Dim::Symbol(shape.back().symbol(), shape.back().factor() / 4);
        shape.back() = parts;
        shape.push_back(4);
      }
      attrs_.Set(attr.name, shape);
    }
  }

  // More operands like the last one.
  void Repeat(std::vector<Choice>* choices) {
    for (int64_t more = c_.Below(3); more > 0; --more) {
      choices->push_back(choices->back());
      if (c_.Chance(70)) choices->back().value = nullptr;
    }
  }

  Choice Choose(const OperandDef& operand) {
    const TypePattern& pattern = *operand.type;
    const DType dtype = PickDType(pattern);
    // Values that must obey more than a type get a source of their own: RangesFor knows the rules.
    const bool is_free = pattern.is_state || (RestOf(operand).empty() && dtype != DType::kI32);
    if (is_free && c_.Chance(75)) {
      Value* value = Existing(pattern);
      // A node updates a state once.
      const bool is_taken = pattern.is_state && !states_.insert(value).second;
      if (value != nullptr && !is_taken) return {&operand, value->type(), value};
    }
    TensorType type{dtype, ShapeOf(pattern), pattern.is_state};
    // Rows of a cache of blocks are whole blocks.
    const bool is_whole =
        type.shape.empty() || type.shape.back().factor() % Info(dtype).elements_per_block == 0;
    if (!is_whole) type.dtype = DType::kF32;
    return {&operand, type};
  }

  // Of i32 and floats mostly f32, which nearly all ops take.
  DType PickDType(const TypePattern& pattern) {
    if (pattern.accepts_any) return DType::kF32;
    return c_.Chance(70) ? pattern.dtypes[0] : c_.Pick(pattern.dtypes);
  }

  // A value whose type agrees with what is bound so far, which it binds.
  Value* Existing(const TypePattern& pattern) {
    const auto& values = pattern.is_state ? c_.states() : c_.values();
    for (int attempt = 0; attempt < 8 && !values.empty(); ++attempt) {
      Value* value = c_.Pick(values);
      if (Binds(pattern, value->type())) return value;
    }
    return nullptr;
  }

  bool Binds(const TypePattern& pattern, const TensorType& type) {
    if (!pattern.accepts_any && !pattern.Accepts(type.dtype)) return false;
    const size_t named = pattern.dims.size();
    if (type.shape.size() < named) return false;
    if (type.shape.size() > named && !pattern.has_leading) return false;
    const size_t leading = type.shape.size() - named;
    auto dims = dims_;
    for (size_t i = 0; i < named; ++i) {
      const auto [it, is_new] = dims.emplace(pattern.dims[i].ToString(), type.shape[leading + i]);
      if (it->second != type.shape[leading + i]) return false;
    }
    if (pattern.binds_leading) {
      const Shape shape(type.shape.begin(), type.shape.begin() + static_cast<int64_t>(leading));
      if (leading_.has_value() && *leading_ != shape) return false;
      leading_ = shape;
    }
    dims_ = std::move(dims);
    return true;
  }

  Value* Make(const Choice& choice) {
    if (choice.value != nullptr || !choice.type.has_value()) return choice.value;
    TensorType type = *choice.type;
    const std::string& name = choice.operand->name;
    if (type.is_state) return c_.State(name, std::move(type));
    const bool is_any = choice.operand->type->accepts_any;
    if (IsSymbolic(type.shape) || type.dtype == DType::kI32 || (!is_any && c_.Chance(40))) {
      return c_.Input(name, std::move(type));
    }
    if (is_any && !type.shape.empty()) type.dtype = c_.Format(type.shape.back().factor());
    return c_.Weight(name, std::move(type));
  }

  Shape ShapeOf(const TypePattern& pattern) {
    Shape shape;
    if (pattern.binds_leading) {
      if (!leading_.has_value()) leading_ = c_.Chance(90) ? Shape{Outermost()} : Shape{};
      shape = *leading_;
    }
    for (const DimExpression& dim : pattern.dims) shape.push_back(DimOf(dim));
    return shape;
  }

  Dim Outermost() { return c_.Chance(70) ? c_.tokens() : Dim(c_.Pick<int64_t>({1, 3})); }

  Dim DimOf(const DimExpression& expression) {
    const Dim left = DimOf(expression.left);
    if (expression.op == '\0') return left;
    const Dim right = DimOf(expression.right);
    if (expression.op == '*') return Dim::Product(left, right).value_or(left);
    if (expression.op == '/') return Dim::Quotient(left, right.factor()).value_or(left);
    return left.is_constant() ? Dim(left.factor() + right.factor()) : left;
  }

  Dim DimOf(const DimExpression::Term& term) {
    if (term.name.empty()) return term.number;
    const auto [found, is_new] = dims_.emplace(term.name, Dim(1));
    if (is_new) found->second = NewDim(term.name);
    return found->second;
  }

  Dim NewDim(absl::string_view name) {
    if (name == "blocks") return Dim::Symbol(decoder::kBlocks);
    if (name == "block_size") return c_.Pick<int64_t>({4, 8});
    if (name == "seqs") return Dim::Symbol(decoder::kSeqs);
    if (name == "t" || name == "r" || name == "n" || name == "m") return Outermost();
    return c_.Pick<int64_t>({2, 4, 8, 32, 32});
  }

  bool Fits(const std::vector<Choice>& choices) const {
    std::vector<const TensorType*> types;
    for (const Choice& choice : choices) {
      // Kernels take weights of constant size only.
      const bool is_weight = choice.operand->type->accepts_any;
      if (is_weight && choice.type.has_value() && IsSymbolic(choice.type->shape)) return false;
      types.push_back(choice.type.has_value() ? &*choice.type : nullptr);
    }
    return InferResults({op_, types, attrs_}).ok() && !IsUnstable(choices[0].value);
  }

  // A cut-off fraction turns the smallest difference into a large one, unless the value is exact.
  bool IsUnstable(const Value* x) const {
    const AttrValue* to = attrs_.Find("to");
    return to != nullptr && *to == AttrValue("i32") && x != nullptr && x->producer() != nullptr;
  }

  GraphComposer& c_;
  const OpDef& op_;
  Attributes attrs_;
  std::map<std::string, Dim, std::less<>> dims_;  // what the names of the docs stand for
  std::optional<Shape> leading_;                  // what "..." stands for
  std::set<const Value*> states_;                 // operands
};

}  // namespace

bool AddNode(GraphComposer& composer, const OpDef& op) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (NodeMaker(composer, op).Add()) return true;
  }
  return false;
}

void AddTwin(GraphComposer& composer) {
  const Node* node = nullptr;
  for (int attempt = 0; attempt < 10 && node == nullptr; ++attempt) {
    node = composer.AnyValue()->producer();
    const auto is_state = [](const Value* v) { return v != nullptr && v->type().is_state; };
    if (node == nullptr) continue;
    const auto operands = node->operands();
    if (std::any_of(operands.begin(), operands.end(), is_state)) node = nullptr;
  }
  if (node == nullptr) return;
  std::vector<std::string> names;
  for (const ResultDef& result : node->op().results) names.push_back("twin." + result.name);
  Attributes attrs = node->attrs();
  if (composer.Chance(20)) {
    for (const AttrDef& attr : node->op().attrs) {
      if (attr.kind == AttrKind::kFloat) attrs.Set(attr.name, 0.25);
    }
    if (!InferResults({node->op(), node->OperandTypes(), attrs}).ok()) attrs = node->attrs();
  }
  composer.Ops(std::move(names), node->op().name,
               {node->operands().begin(), node->operands().end()}, std::move(attrs));
}

}  // namespace sluice
