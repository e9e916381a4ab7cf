// add_lora: what adapters change of a weight (graph/low_rank_update.h) is computed beside its
// product, so that the weight stays as it is in the file.
//
//   before   %q = matmul(%x, @wq) : f32[tokens,512]
//            %qh = reshape(%q) {shape=[tokens,8,64]} : f32[tokens,8,64]
//   after    %q = matmul(%x, @wq) : f32[tokens,512]
//            %qh = reshape(%q) {shape=[tokens,8,64]} : f32[tokens,8,64]
//            %q.lora_a = matmul(%x, @wq.lora_a) : f32[tokens,16]
//            %q.lora_scale = scale(%q.lora_a) {factor=2.0} : f32[tokens,16]
//            %q.lora_b = matmul(%q.lora_scale, @wq.lora_b) : f32[tokens,512]
//            %q.lora_heads = reshape(%q.lora_b) {shape=[tokens,8,64]} : f32[tokens,8,64]
//            %qh.lora = add(%qh, %q.lora_heads) : f32[tokens,8,64]
//
// and likewise for expert_matmul, with the same offsets, and for embedding, where rows of A are
// looked up. The factor goes where the fewest numbers are; a factor of 1 needs no node. The sum
// comes after a reshape that is all that uses the product: fuse_qkv still finds its pattern then.
// Users of the product, and outputs of the graph, go on with the sum.
// Not for updates with a factor of 0, of weights that the graph does not have, or that are there
// already. A weight that something else uses is an error.
#include "absl/strings/str_cat.h"
#include "graph/ops/elementwise.h"
#include "graph/ops/linear.h"
#include "graph/ops/moe.h"
#include "graph/status_macros.h"
#include "passes/passes.h"

namespace sluice {
namespace {

constexpr absl::string_view kName = "add_lora";

// Empty, or why there is nothing to add.
std::string Refusal(const Graph& graph, const LowRankUpdate& update) {
  if (graph.Find(absl::StrCat("@", update.weight)) == nullptr) {
    return "the graph has no such weight";
  }
  if (graph.Find(absl::StrCat("@", update.b)) != nullptr) {
    return absl::StrCat("@", update.b, " is there already");
  }
  return update.factor == 0 ? "the factor is 0" : "";
}

// Both products have their rows and weights at the same places.
static_assert(kOperand<MatmulCall>.x == kOperand<ExpertMatmulCall>.rows &&
              kOperand<MatmulCall>.weight == kOperand<ExpertMatmulCall>.weight);

// The reshape that is all that uses a product; nullptr: something else does.
Node* OnlyReshape(const Graph& graph, const Node& product) {
  const Value* value = product.result();
  if (value->uses().size() != 1 || graph.IsOutput(value)) return nullptr;
  Node* user = value->uses()[0].node;
  return user->op().name == "reshape" ? user : nullptr;
}

// Adds the nodes of one update to one product.
class ProductUpdate {
 public:
  ProductUpdate(Graph& graph, Node* product)
      : graph_(graph), product_(product), reshape_(OnlyReshape(graph, *product)) {}

  absl::Status Run(Value* a, Value* b, double factor) {
    const bool is_lookup = product_->op().name == "embedding";
    std::vector<Value*> operands(product_->operands().begin(), product_->operands().end());
    operands.resize(OperandsWithoutBias());
    operands[is_lookup ? kOperand<EmbeddingCall>.table : kOperand<MatmulCall>.weight] = a;
    SLUICE_ASSIGN_OR_RETURN(Value * low, Add("lora_a", product_->op().name, operands));
    Node* const first = low->producer();
    if (factor != 1) {
      SLUICE_ASSIGN_OR_RETURN(low, Add("lora_scale", "scale", {low}, {{"factor", factor}}));
    }
    if (is_lookup) {
      operands = {low, b};
    } else {
      operands[kOperand<MatmulCall>.x] = low;
      operands[kOperand<MatmulCall>.weight] = b;
    }
    SLUICE_ASSIGN_OR_RETURN(Value * change,
                            Add("lora_b", is_lookup ? "matmul" : product_->op().name, operands));
    if (reshape_ != nullptr) {
      SLUICE_ASSIGN_OR_RETURN(change, Add("lora_heads", "reshape", {change}, reshape_->attrs()));
    }
    return AddSum(change, first);
  }

 private:
  // The node whose result gets another summand. The new ones stand before it until all are there.
  Node* target() const { return reshape_ != nullptr ? reshape_ : product_; }

  size_t OperandsWithoutBias() const {
    return product_->op().name == "expert_matmul" ? kOperand<ExpertMatmulCall>.bias
                                                  : kOperand<MatmulCall>.bias;
  }

  absl::StatusOr<Value*> Add(absl::string_view name, absl::string_view op,
                             std::vector<Value*> operands, Attributes attrs = {}) {
    return AddNamed(absl::StrCat(product_->name(), ".", name), op, std::move(operands),
                    std::move(attrs));
  }

  absl::StatusOr<Value*> AddNamed(const std::string& name, absl::string_view op,
                                  std::vector<Value*> operands, Attributes attrs) {
    SLUICE_ASSIGN_OR_RETURN(Node * node, graph_.Add({.op = op,
                                                     .operands = std::move(operands),
                                                     .attrs = std::move(attrs),
                                                     .names = {graph_.UniqueName(name)},
                                                     .before = target()}));
    node->Accompany(*target());
    node->set_origin(std::string(kName));
    return node->result();
  }

  absl::Status AddSum(Value* change, Node* first) {
    Value* value = target()->result();
    SLUICE_ASSIGN_OR_RETURN(
        Value * sum, AddNamed(absl::StrCat(value->name(), ".lora"), "add", {value, change}, {}));
    graph_.ReplaceUses(value, sum);
    graph_.SetOperand(sum->producer(), kOperand<BinaryCall>.a, value);
    graph_.Move(target(), first);
    return absl::OkStatus();
  }

  Graph& graph_;
  Node* const product_;
  Node* const reshape_;
};

bool IsProductWith(const Use& use) {
  const std::string& op = use.node->op().name;
  const auto operand = static_cast<size_t>(use.operand);
  return op == "embedding"
             ? operand == kOperand<EmbeddingCall>.table
             : (op == "matmul" || op == "expert_matmul") && operand == kOperand<MatmulCall>.weight;
}

absl::Status Apply(Graph& graph, const LowRankUpdate& update) {
  const Value* weight = graph.Find(absl::StrCat("@", update.weight));
  const std::vector<Use> uses(weight->uses().begin(), weight->uses().end());
  for (const Use& use : uses) {
    if (IsProductWith(use)) continue;
    return absl::InvalidArgumentError(absl::StrCat("%", use.node->name(), " uses ", weight->ref(),
                                                   " in '", use.node->op().name,
                                                   "', which takes no low-rank update"));
  }
  Value* a = graph.Find(absl::StrCat("@", update.a));  // an earlier update may share it
  if (a == nullptr) {
    SLUICE_ASSIGN_OR_RETURN(a, graph.AddWeight(update.a, update.a_type));
  }
  SLUICE_ASSIGN_OR_RETURN(Value * b, graph.AddWeight(update.b, update.b_type));
  for (const Use& use : uses) {
    SLUICE_RETURN_IF_ERROR(ProductUpdate(graph, use.node).Run(a, b, update.factor));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<bool> AddLora(Graph& graph, const CompileContext& context) {
  bool changed = false;
  for (const LowRankUpdate& update : context.updates) {
    const std::string refusal = Refusal(graph, update);
    if (!refusal.empty()) {
      if (context.explain) {
        context.explain(absl::StrCat("@", update.weight, ": no update by @", update.a, " and @",
                                     update.b, ": ", refusal));
      }
      continue;
    }
    SLUICE_RETURN_IF_ERROR(Apply(graph, update));
    changed = true;
  }
  return changed;
}

}  // namespace sluice
