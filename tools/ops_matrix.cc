#include "tools/ops_matrix.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "graph/decoder_interface.h"
#include "graph/formats/dequantize.h"
#include "graph/status_macros.h"
#include "graph/verifier.h"

namespace sluice::tools {
namespace {

constexpr int64_t kTokens = 32, kSequences = 4, kBlocks = 64;
constexpr int64_t kWidth = 256;  // rows of whole blocks, whatever the format

// Names that mean the same in all records. What is not here is kWidth.
Dim SizeOf(absl::string_view name) {
  if (name == "t" || name == "r" || name == "m") return Dim::Symbol(decoder::kTokens);
  if (name == "seqs") return Dim::Symbol(decoder::kSeqs);
  if (name == "blocks") return Dim::Symbol(decoder::kBlocks);
  if (name == "block_size") return 16;
  if (name == "table" || name == "H" || name == "heads") return 4;
  if (name == "Hkv" || name == "k") return 2;
  if (name == "E" || name == "experts") return 8;
  if (name == "D" || name == "Dv" || name == "dims") return 64;
  return kWidth;
}

// Builds the operands and attributes of one application.
class Sample {
 public:
  // `n` stands for a number of rows in some records, for a width in others.
  Sample(const OpDef& op, DType weights, bool n_is_rows, Graph* graph)
      : op_(op), weights_(weights), n_is_rows_(n_is_rows), graph_(*graph) {}

  absl::Status Add() {
    SLUICE_RETURN_IF_ERROR(graph_.AddSymbol(decoder::kTokens, kTokens));
    SLUICE_RETURN_IF_ERROR(graph_.AddSymbol(decoder::kSeqs, kSequences));
    SLUICE_RETURN_IF_ERROR(graph_.AddSymbol(decoder::kBlocks, kBlocks));
    ChooseAttributes();
    for (const OperandDef& operand : op_.operands) {
      if (operand.optional) {
        operands_.push_back(nullptr);
        continue;
      }
      SLUICE_ASSIGN_OR_RETURN(operands_.emplace_back(), Make(operand));
    }
    while (!operands_.empty() && operands_.back() == nullptr) operands_.pop_back();
    return AddNode();
  }

 private:
  void ChooseAttributes() {
    for (const AttrDef& attr : op_.attrs) {
      if (attr.default_value.has_value()) continue;
      if (attr.kind == AttrKind::kInt) {
        // Sizes by their names; what is left is tried out.
        const Dim size = SizeOf(attr.name);
        attrs_.Set(attr.name, size == Dim(kWidth) ? 1 : size.factor());
        if (size == Dim(kWidth)) open_.push_back(attr.name);
      } else if (attr.kind == AttrKind::kString) {
        attrs_.Set(attr.name, attr.choices.empty() ? "" : attr.choices.front());
      } else if (attr.kind == AttrKind::kBool) {
        attrs_.Set(attr.name, true);
      } else if (attr.kind == AttrKind::kFloat) {
        attrs_.Set(attr.name, 1.0);
      } else {
        attrs_.Set(attr.name, ShapeFor(attr.name));
      }
    }
  }

  // "q_shape" is for a product of [t,q_out], any other for the elements of the first operand.
  Shape ShapeFor(absl::string_view attr) const {
    const std::string out = absl::StrCat(absl::StripSuffix(attr, "shape"), "out");
    const bool is_product =
        std::any_of(op_.operands.begin(), op_.operands.end(), [&](const OperandDef& operand) {
          return !operand.type->dims.empty() && operand.type->dims[0].ToString() == out;
        });
    return is_product ? Shape{SizeOf("t"), SizeOf(out)} : TypeOf(op_.operands.front()).shape;
  }

  Dim SizeOfTerm(const DimExpression::Term& term) const {
    if (term.name.empty()) return term.number;
    const AttrValue* attr = attrs_.Find(term.name);
    if (term.name == "n" && n_is_rows_) return SizeOf("t");
    return attr != nullptr ? Dim(std::get<int64_t>(*attr)) : SizeOf(term.name);
  }

  Dim SizeOfExpression(const DimExpression& dim) const {
    const Dim left = SizeOfTerm(dim.left);
    if (dim.op == '\0') return left;
    const Dim right = SizeOfTerm(dim.right);
    if (dim.op == '*') return Dim::Product(left, right).value_or(left);
    if (dim.op == '/') return Dim::Quotient(left, right.factor()).value_or(left);
    return left.factor() + right.factor();
  }

  TensorType TypeOf(const OperandDef& operand) const {
    const TypePattern& pattern = *operand.type;
    TensorType type{pattern.accepts_any ? weights_ : pattern.dtypes[0], {}, pattern.is_state};
    if (pattern.has_leading) type.shape.push_back(SizeOf("t"));
    if (pattern.has_leading && pattern.dims.empty()) type.shape.push_back(kWidth);
    for (const DimExpression& dim : pattern.dims) type.shape.push_back(SizeOfExpression(dim));
    return type;
  }

  absl::StatusOr<Value*> Make(const OperandDef& operand) {
    const TensorType type = TypeOf(operand);
    if (type.is_state) return graph_.AddState(operand.name, type);
    return operand.repackable ? graph_.AddWeight(operand.name, type)
                              : graph_.AddInput(operand.name, type);
  }

  absl::Status AddNode() {
    NodeSpec spec{.op = op_.name, .operands = operands_};
    for (const ResultDef& result : op_.results) spec.names.push_back("out." + result.name);
    absl::Status refused;
    // At most two numbers are open: an axis has few values, and ranges are short.
    for (const int64_t first : {1, 0, 2}) {
      for (const int64_t last : {1, 2}) {
        spec.attrs = attrs_;
        for (const std::string& name : open_) spec.attrs.Set(name, first);
        if (!open_.empty()) spec.attrs.Set(open_.back(), last);
        const absl::StatusOr<Node*> node = graph_.Add(spec);
        if (node.ok()) return (*node)->result()->type().is_state ? absl::OkStatus() : Output(*node);
        refused = node.status();
      }
    }
    return refused;
  }

  absl::Status Output(const Node* node) { return graph_.AddOutput(node->result()); }

  const OpDef& op_;
  const DType weights_;
  const bool n_is_rows_;
  Graph& graph_;
  Attributes attrs_;
  std::vector<std::string> open_;  // attributes that are no size
  std::vector<Value*> operands_;
};

// Whether the kernel takes the sample, its weights in the kernel's layout.
bool Takes(const Kernel& kernel, const Node& node, const Backend& backend) {
  if (!kernel.accepts(node, backend.caps()).ok()) return false;
  const WeightLayout* layout = backend.kernels()->FindLayout(kernel.layout);
  for (size_t i = 0; layout != nullptr && i < node.operands().size(); ++i) {
    if (IsPackable(node.op(), i) && !layout->accepts(node.operand(i)->type()).ok()) return false;
  }
  return true;
}

absl::Status AddEntries(const OpDef& op, const Backend& backend, const OpRegistry& registry,
                        std::vector<MatrixEntry>* entries) {
  if (backend.kernels() == nullptr) {
    entries->push_back({op.name, std::string(backend.name()), "reference", WeightFormats(op)});
    return absl::OkStatus();
  }
  if (op.is_view) {
    entries->push_back({op.name, std::string(backend.name()), "no kernel: a view", {}});
    return absl::OkStatus();
  }
  std::vector<DType> formats = WeightFormats(op);
  const bool has_formats = !formats.empty();
  if (!has_formats) formats = {DType::kF32};
  std::map<DType, Graph> samples;
  for (const DType format : formats) {
    SLUICE_ASSIGN_OR_RETURN(Graph graph, SampleOf(op, format, registry));
    samples.emplace(format, std::move(graph));
  }
  const std::vector<const Kernel*> kernels = backend.kernels()->ForOp(op.name);
  if (kernels.empty()) entries->push_back({op.name, std::string(backend.name()), "no kernel", {}});
  for (const Kernel* kernel : kernels) {
    MatrixEntry entry = {op.name, std::string(backend.name()), kernel->name, {}};
    bool takes = false;
    for (const DType format : formats) {
      if (!Takes(*kernel, *samples.at(format).nodes()[0], backend)) continue;
      takes = true;
      if (has_formats) entry.formats.push_back(format);
    }
    if (takes) entries->push_back(std::move(entry));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<DType> WeightFormats(const OpDef& op) {
  std::vector<DType> formats;
  const bool has_weight = std::any_of(op.operands.begin(), op.operands.end(),
                                      [](const OperandDef& o) { return o.repackable; });
  for (const DTypeInfo& info : AllDTypes()) {
    if (has_weight && CanDequantize(info.dtype)) formats.push_back(info.dtype);
  }
  return formats;
}

absl::StatusOr<Graph> SampleOf(const OpDef& op, DType weights, const OpRegistry& registry) {
  absl::Status refused;
  for (const bool n_is_rows : {true, false}) {
    Graph graph(op.name, &registry);
    refused = Sample(op, weights, n_is_rows, &graph).Add();
    if (refused.ok()) return graph;
  }
  return absl::InternalError(
      absl::StrCat("no sizes fit the record of '", op.name, "': ", refused.message()));
}

absl::StatusOr<std::vector<MatrixEntry>> KernelMatrix(absl::Span<const OpDef* const> ops,
                                                      absl::Span<const Backend* const> backends,
                                                      const OpRegistry& registry) {
  std::vector<MatrixEntry> entries;
  for (const OpDef* op : ops) {
    for (const Backend* backend : backends) {
      SLUICE_RETURN_IF_ERROR(AddEntries(*op, *backend, registry, &entries));
    }
  }
  return entries;
}

std::string MatrixText(absl::Span<const MatrixEntry> entries) {
  size_t widest = 0;
  for (const MatrixEntry& entry : entries) widest = std::max(widest, entry.kernel.size());
  std::string text, op;
  for (const MatrixEntry& entry : entries) {
    if (entry.op != std::exchange(op, entry.op)) absl::StrAppend(&text, entry.op, "\n");
    const auto name = [](std::string* out, DType dtype) { absl::StrAppend(out, Name(dtype)); };
    std::string line = absl::StrFormat("  %-8s %-*s %s", entry.backend, static_cast<int>(widest),
                                       entry.kernel, absl::StrJoin(entry.formats, " ", name));
    absl::StripTrailingAsciiWhitespace(&line);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

}  // namespace sluice::tools
