#include <algorithm>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "graph/text.h"

namespace sluice {
namespace {

std::string Label(const std::string& text) { return ToString(AttrValue(text)); }

void AppendAttributes(const Attributes& attrs, std::string* out) {
  if (!attrs.empty()) absl::StrAppend(out, " ", attrs.ToString());
}

std::string SpanText(const std::optional<MemSpan>& mem) {
  if (!mem.has_value()) return "_";
  // The verifier refuses a negative offset; its message still has to show one.
  return absl::StrFormat(
      "%s%s0x%x:%d", Label(mem->region), mem->offset < 0 ? "-" : "+",
      mem->offset < 0 ? 0 - static_cast<uint64_t>(mem->offset) : static_cast<uint64_t>(mem->offset),
      mem->bytes);
}

void AppendMem(absl::Span<const std::unique_ptr<Value>> values, std::string* out) {
  if (std::none_of(values.begin(), values.end(), [](auto& v) { return v->mem().has_value(); })) {
    return;
  }
  absl::StrAppend(
      out, " mem(",
      absl::StrJoin(values, ", ",
                    [](std::string* text, const auto& v) { text->append(SpanText(v->mem())); }),
      ")");
}

void AppendAnnotations(const Node& node, std::string* out) {
  if (const int layer = node.layer(); layer != LayerOf(node.name())) {
    absl::StrAppend(out, " layer(", layer < 0 ? "_" : absl::StrCat(layer), ")");
  }
  if (!node.device().empty()) absl::StrAppend(out, " device(", Label(node.device()), ")");
  if (!node.kernel().empty()) absl::StrAppend(out, " kernel(", Quote(node.kernel()), ")");
  AppendMem(node.results(), out);
  if (node.scratch().has_value()) absl::StrAppend(out, " scratch(", SpanText(node.scratch()), ")");
  if (node.once()) absl::StrAppend(out, " once");
  if (!node.origin().empty()) absl::StrAppend(out, " by(", Label(node.origin()), ")");
}

void AppendNode(const Node& node, std::string* out) {
  const auto append_ref = [](std::string* text, const Value* value) {
    text->append(value != nullptr ? value->ref() : "_");
  };
  const auto append_name = [](std::string* text, const auto& result) {
    text->append(result->ref());
  };
  const auto append_type = [](std::string* text, const auto& result) {
    text->append(result->type().ToString());
  };
  absl::StrAppend(out, absl::StrJoin(node.results(), ", ", append_name), " = ", node.op().name, "(",
                  absl::StrJoin(node.operands(), ", ", append_ref), ")");
  AppendAttributes(node.attrs(), out);
  absl::StrAppend(out, " : ", absl::StrJoin(node.results(), ", ", append_type));
  AppendAnnotations(node, out);
}

// The part of a node's name that it shares with the nodes of its group.
absl::string_view GroupOf(const Node& node) {
  const absl::string_view name = node.name();
  const size_t dot = name.find('.');
  return dot == name.npos ? "" : name.substr(0, dot);
}

class GraphPrinter {
 public:
  explicit GraphPrinter(const Graph& graph) : graph_(graph) {
    for (size_t i = 0; i < graph.weights().size(); ++i) index_[graph.weights()[i].get()] = i;
    for (size_t i = 0; i < graph.states().size(); ++i) index_[graph.states()[i].get()] = i;
    is_printed_.resize(graph.weights().size());
  }

  std::string Run() && {
    Header();
    auto nodes = graph_.nodes();
    while (!nodes.empty()) {
      const absl::string_view group = GroupOf(*nodes[0]);
      size_t size = 1;
      while (size < nodes.size() && GroupOf(*nodes[size]) == group) ++size;
      Group(nodes.first(size));
      nodes.remove_prefix(size);
    }
    Rest();
    return std::move(out_);
  }

 private:
  void Source(absl::string_view keyword, const std::unique_ptr<Value>& value) {
    absl::StrAppend(&out_, keyword, " ", value->ref(), " : ", value->type().ToString());
    if (!value->layout().empty()) absl::StrAppend(&out_, " layout(", Label(value->layout()), ")");
    AppendMem({&value, 1}, &out_);
    out_ += '\n';
  }

  void Header() {
    absl::StrAppend(&out_, "graph ", Label(graph_.name()));
    AppendAttributes(graph_.attrs(), &out_);
    out_ += '\n';
    for (const SymbolDef& symbol : graph_.symbols()) {
      absl::StrAppend(&out_, "symbol ", symbol.name, " <= ", symbol.bound, "\n");
    }
    for (const auto& input : graph_.inputs()) Source("input", input);
  }

  void Group(absl::Span<const std::unique_ptr<Node>> nodes) {
    std::vector<size_t> weights;
    size_t states_end = next_state_;
    for (const auto& node : nodes) {
      for (const Value* value : node->operands()) {
        if (value == nullptr) continue;
        if (value->kind() == Value::Kind::kWeight) weights.push_back(index_.at(value));
        if (value->kind() == Value::Kind::kState) {
          states_end = std::max(states_end, index_.at(value) + 1);
        }
      }
    }
    std::sort(weights.begin(), weights.end());
    out_ += '\n';
    for (const size_t weight : weights) Weight(weight);
    States(states_end);
    for (const auto& node : nodes) {
      AppendNode(*node, &out_);
      out_ += '\n';
    }
  }

  void Weight(size_t index) {
    if (is_printed_[index]) return;
    is_printed_[index] = true;
    Source("weight", graph_.weights()[index]);
  }

  // In the graph's order, so that one which is used early brings those before it along.
  void States(size_t end) {
    for (; next_state_ < end; ++next_state_) Source("state", graph_.states()[next_state_]);
  }

  void Rest() {
    const size_t start = out_.size();
    for (size_t i = 0; i < is_printed_.size(); ++i) Weight(i);
    States(graph_.states().size());
    for (const Value* output : graph_.outputs()) {
      absl::StrAppend(&out_, "output ", output->ref(), "\n");
    }
    if (out_.size() > start) out_.insert(start, 1, '\n');
  }

  const Graph& graph_;
  std::string out_;
  absl::flat_hash_map<const Value*, size_t> index_;  // of weights and states in their lists
  std::vector<bool> is_printed_;                     // by weight
  size_t next_state_ = 0;                            // the first one not printed
};

}  // namespace

std::string Print(const Graph& graph) { return GraphPrinter(graph).Run(); }

std::string Print(const Node& node) {
  std::string out;
  AppendNode(node, &out);
  return out;
}

}  // namespace sluice
