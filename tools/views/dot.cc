#include "tools/views/dot.h"

#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "models/unicode/printable.h"

namespace sluice {
namespace {

// Inputs with more readers than this are named in labels: edges from "positions" to every layer
// would hide all others.
constexpr size_t kMaxDrawnUses = 4;
constexpr size_t kMaxLabelBytes = 200;

// A quoted DOT string. Backslashes would start Graphviz's escapes, ampersands its entities.
std::string Quoted(absl::string_view text) {
  return absl::StrCat(
      "\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}, {"&", "&amp;"}}), "\"");
}

// Lines of a label, each made fit for a picture first.
std::string Label(const std::vector<std::string>& lines) {
  const auto line = [](std::string* out, const std::string& text) {
    const std::string quoted = Quoted(Printable(text, kMaxLabelBytes));
    absl::StrAppend(out, absl::string_view(quoted).substr(1, quoted.size() - 2));
  };
  return absl::StrCat("\"", absl::StrJoin(lines, "\\n", line), "\"");
}

bool IsDrawn(const Value& source) {
  return source.kind() == Value::Kind::kState ||
         (source.kind() == Value::Kind::kInput && source.uses().size() <= kMaxDrawnUses);
}

std::string Typed(const Value& value) {
  return absl::StrCat(value.ref(), " : ", value.type().ToString());
}

std::vector<std::string> LabelLines(const Node& node) {
  std::vector<std::string> lines = {absl::StrCat(node.op().name, "  ", node.result()->ref())};
  if (!node.attrs().empty()) lines.push_back(node.attrs().ToString());
  for (const Value* operand : node.operands()) {
    if (operand == nullptr || operand->producer() != nullptr || IsDrawn(*operand)) continue;
    lines.push_back(operand->kind() == Value::Kind::kWeight ? Typed(*operand) : operand->ref());
  }
  if (!node.kernel().empty()) lines.push_back(node.kernel());
  if (!node.origin().empty()) lines.push_back(absl::StrCat("by ", node.origin()));
  return lines;
}

std::string NodeStyle(const Node& node) {
  std::string style = node.op().is_view ? "rounded,filled,dashed" : "rounded,filled";
  std::string text = absl::StrCat("style=\"", style, "\"");
  if (!node.origin().empty()) absl::StrAppend(&text, " fillcolor=\"#fde3c2\"");
  if (node.once()) absl::StrAppend(&text, " peripheries=2");
  return text;
}

class DotWriter {
 public:
  explicit DotWriter(const Graph& graph) : graph_(graph) {}

  std::string Write() {
    absl::StrAppend(&out_, "digraph ", Quoted(Printable(graph_.name(), kMaxLabelBytes)), " {\n",
                    "  node [shape=box fillcolor=\"#f3f4f6\" color=\"#6b7280\" fontsize=11 "
                    "fontname=\"Helvetica,Arial,sans-serif\"]\n",
                    "  edge [color=\"#9ca3af\" fontcolor=\"#4b5563\" fontsize=9 "
                    "fontname=\"Helvetica,Arial,sans-serif\"]\n");
    Members();
    for (const auto& node : graph_.nodes()) Edges(*node);
    Outputs();
    return out_ + "}\n";
  }

 private:
  // Declares every box, those of a layer together.
  void Members() {
    std::map<int, std::string> by_layer;
    for (const auto& input : graph_.inputs()) {
      if (IsDrawn(*input)) Source(*input, "ellipse", &by_layer);
    }
    for (const auto& state : graph_.states()) Source(*state, "cylinder", &by_layer);
    for (const auto& node : graph_.nodes()) {
      absl::StrAppend(&by_layer[node->layer()], "    ", Quoted(node->result()->ref()),
                      " [label=", Label(LabelLines(*node)), " ", NodeStyle(*node), "]\n");
    }
    for (const auto& [layer, members] : by_layer) {
      if (layer < 0) {
        out_ += members;
        continue;
      }
      absl::StrAppend(&out_, "  subgraph cluster_l", layer, " {\n    label=\"layer ", layer,
                      "\" color=\"#d1d5db\" fontname=\"Helvetica,Arial,sans-serif\"\n", members,
                      "  }\n");
    }
  }

  void Source(const Value& value, absl::string_view shape, std::map<int, std::string>* by_layer) {
    absl::StrAppend(&(*by_layer)[LayerOf(value)], "    ", Quoted(value.ref()), " [shape=", shape,
                    " style=filled fillcolor=\"#dbeafe\" label=",
                    Label({value.ref(), value.type().ToString()}), "]\n");
  }

  void Edges(const Node& node) {
    for (size_t i = 0; i < node.operands().size(); ++i) {
      const Value* operand = node.operand(i);
      if (operand == nullptr || (operand->producer() == nullptr && !IsDrawn(*operand))) continue;
      const Value& from =
          operand->producer() != nullptr ? *operand->producer()->result() : *operand;
      const Use use{const_cast<Node*>(&node), static_cast<int>(i)};
      Edge(from, node.result()->ref(), *operand, operand->uses().front() == use);
    }
  }

  void Edge(const Value& from, const std::string& to, const Value& value, bool first) {
    absl::StrAppend(&out_, "  ", Quoted(from.ref()), " -> ", Quoted(to));
    const bool one_of_several =
        value.producer() != nullptr && value.producer()->results().size() > 1;
    std::vector<std::string> lines;
    if (one_of_several) lines.push_back(value.ref());
    if (first && value.producer() != nullptr) lines.push_back(value.type().ToString());
    if (!lines.empty()) absl::StrAppend(&out_, " [label=", Label(lines), "]");
    out_ += "\n";
  }

  void Outputs() {
    for (const Value* output : graph_.outputs()) {
      const std::string id = absl::StrCat("output ", output->ref());
      absl::StrAppend(&out_, "  ", Quoted(id), " [shape=ellipse style=filled fillcolor=\"#dcfce7\"",
                      " label=", Label({id, output->type().ToString()}), "]\n");
      Edge(output->producer() != nullptr ? *output->producer()->result() : *output, id, *output,
           false);
    }
  }

  const Graph& graph_;
  std::string out_;
};

}  // namespace

std::string ToDot(const Graph& graph) { return DotWriter(graph).Write(); }

}  // namespace sluice
