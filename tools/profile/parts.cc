#include "tools/profile/parts.h"

#include <array>

#include "absl/strings/strip.h"

namespace sluice {
namespace {

struct PartInfo {
  absl::string_view name;
  absl::string_view group;
};
// In the order of Part.
constexpr std::array<PartInfo, kPartCount> kParts = {{
    {"embedding", "embedding"},
    {"norms", "other"},
    {"qkv", "attention"},
    {"rope+append", "attention"},
    {"attention", "attention"},
    {"attention output", "attention"},
    {"router", "ffn"},
    {"gate/up", "ffn"},
    {"down", "ffn"},
    {"combine", "ffn"},
    {"residual", "other"},
    {"output", "output"},
    {"other", "other"},
}};

enum class Look : uint8_t {
  kOp,       // the op's name contains the text
  kWeight,   // a weight that the node reads has this name, without "blk.N.", ".bias" or ".lora_a"
  kResult,   // the builder's name for the node, without its layer, is the text
  kInLayer,  // the node is of this op and belongs to a layer
};
struct Rule {
  Look at;
  absl::string_view text;
  Part part;
};

// First match wins: ops that stand in one place only, then weights, then other ops, then names,
// then what an op usually does in a layer.
constexpr Rule kRules[] = {
    {Look::kOp, "embedding", Part::kEmbedding},
    {Look::kWeight, "attn_q", Part::kQkv},
    {Look::kWeight, "attn_k", Part::kQkv},
    {Look::kWeight, "attn_v", Part::kQkv},
    {Look::kWeight, "attn_qkv", Part::kQkv},  // of an adapter
    {Look::kWeight, "attn_output", Part::kAttentionOutput},
    {Look::kWeight, "ffn_gate_inp", Part::kRouter},
    {Look::kWeight, "ffn_gate", Part::kGateUp},
    {Look::kWeight, "ffn_up", Part::kGateUp},
    {Look::kWeight, "ffn_down", Part::kDown},
    {Look::kWeight, "ffn_gate_exps", Part::kGateUp},
    {Look::kWeight, "ffn_up_exps", Part::kGateUp},
    {Look::kWeight, "ffn_gate_up_exps", Part::kGateUp},  // of an adapter
    {Look::kWeight, "ffn_down_exps", Part::kDown},
    {Look::kWeight, "output", Part::kOutput},
    {Look::kWeight, "token_embd", Part::kOutput},  // tied
    {Look::kOp, "rope", Part::kRopeAppend},
    {Look::kOp, "append", Part::kRopeAppend},
    {Look::kOp, "attention", Part::kAttention},
    {Look::kOp, "norm", Part::kNorm},
    {Look::kOp, "topk", Part::kRouter},
    {Look::kOp, "top_k", Part::kOutput},
    {Look::kOp, "moe_gather", Part::kRouter},
    {Look::kOp, "expert_tiles", Part::kRouter},
    {Look::kOp, "scaled_add", Part::kCombine},
    {Look::kResult, "s", Part::kGateUp},
    {Look::kResult, "h", Part::kGateUp},
    {Look::kResult, "rows", Part::kOutput},
    {Look::kResult, "r", Part::kResidual},
    {Look::kResult, "y", Part::kResidual},
    {Look::kInLayer, "add", Part::kResidual},
    {Look::kInLayer, "silu", Part::kGateUp},
    {Look::kInLayer, "gelu", Part::kGateUp},
    {Look::kInLayer, "mul", Part::kGateUp},
};

// "q" for "l0.q" with the prefix "l", "attn_q" for "blk.0.attn_q" with "blk."; names without a
// layer stay.
absl::string_view WithoutLayer(absl::string_view name, absl::string_view prefix) {
  absl::string_view rest = name;
  if (!absl::ConsumePrefix(&rest, prefix)) return name;
  const size_t digits = rest.find_first_not_of("0123456789");
  if (digits == 0 || digits == absl::string_view::npos || rest[digits] != '.') return name;
  return rest.substr(digits + 1);
}

// Looks through nodes that run once, which arrange weights anew.
bool ReadsWeight(const Node& node, absl::string_view text) {
  for (const Value* operand : node.operands()) {
    if (operand == nullptr) continue;
    if (operand->kind() == Value::Kind::kWeight) {
      const absl::string_view name = WithoutLayer(operand->name(), "blk.");
      if (name.substr(0, name.find('.')) == text) return true;
    } else if (operand->producer() != nullptr && operand->producer()->once() &&
               ReadsWeight(*operand->producer(), text)) {
      return true;
    }
  }
  return false;
}

bool Fits(const Rule& rule, const Node& node) {
  switch (rule.at) {
    case Look::kOp:
      return absl::StrContains(node.op().name, rule.text);
    case Look::kWeight:
      return ReadsWeight(node, rule.text);
    case Look::kResult:
      return WithoutLayer(node.name(), "l") == rule.text;
    case Look::kInLayer:
      return node.layer() >= 0 && node.op().name == rule.text;
  }
  return false;
}

}  // namespace

absl::string_view Name(Part part) { return kParts[static_cast<size_t>(part)].name; }
absl::string_view Group(Part part) { return kParts[static_cast<size_t>(part)].group; }

Part PartOf(const Node& node) {
  for (const Rule& rule : kRules) {
    if (Fits(rule, node)) return rule.part;
  }
  return Part::kOther;
}

}  // namespace sluice
