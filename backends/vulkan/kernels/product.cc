#include "backends/vulkan/kernels/product.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/formats.h"
#include "backends/vulkan/kernels/elementwise.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

// As in the shaders.
constexpr int64_t kTile = 32;
constexpr int64_t kQuad = 4;          // rows are of whole ones
constexpr int64_t kInvocations = 64;  // of a workgroup

// Rows of x for which matvec reads a weight once.
int64_t ColumnsFor(const ProductCall& call, const Lowering& out) {
  return call.mode == Mode::kIndexed || out.Bound(call.rows) == 1 ? 1 : 4;
}

// Blocks of rows that there may be: of one expert's rows, the last block may be partly empty.
int64_t RowBlocks(const ProductCall& call, int64_t experts, const Lowering& out) {
  const int64_t rows = out.Bound(call.rows), columns = ColumnsFor(call, out);
  const int64_t blocks = (rows + columns - 1) / columns;
  return call.mode == Mode::kGrouped ? std::min(rows, blocks + experts) : blocks;
}

// Of a weight [out,in] or [E,out,in].
struct MatrixSize {
  explicit MatrixSize(const Value& weight) {
    const Shape& shape = weight.type().shape;
    columns = shape.back().factor();
    outputs = shape[shape.size() - 2].factor();
    experts = shape.size() > 2 ? shape[0].factor() : 1;
  }
  int64_t columns, outputs, experts;
};

absl::Status AddVectors(const ProductCall& call, Lowering& out) {
  const Value& weight = *out.node().operand(call.weight);
  const MatrixSize size(weight);
  const Shape& x = out.node().operand(call.x)->type().shape;
  const int64_t x_rows = out.Bound(out.Elements(Shape(x.begin(), x.end() - 1)));
  for (const Lowering::Part& part : out.Parts(call.weight)) {
    struct {
      Size rows;
      uint32_t columns, outputs, first_row, part_rows, experts, mode, slots_per_row, has_bias;
    } const push = {.rows = call.rows,
                    .columns = static_cast<uint32_t>(size.columns),
                    .outputs = static_cast<uint32_t>(size.outputs),
                    .first_row = part.first_row,
                    .part_rows = part.rows,
                    .experts = static_cast<uint32_t>(size.experts),
                    .mode = static_cast<uint32_t>(call.mode),
                    .slots_per_row = static_cast<uint32_t>(out.Bound(call.rows) / x_rows),
                    .has_bias = out.Has(call.bias)};
    const Span index = call.mode == Mode::kPlain ? out.Operand(call.x) : out.Operand(call.index);
    SLUICE_RETURN_IF_ERROR(out.Dispatch(
        {ShaderFor("matvec", weight.type().dtype), {static_cast<uint32_t>(ColumnsFor(call, out))}},
        {Reads(part.span), Reads(out.Operand(call.x)), Reads(out.Operand(call.bias)), Reads(index),
         Writes(call.y), Writes(out.ErrorSlot())},
        push,
        {GroupsFor(size.outputs, kInvocations / out.device().subgroup_size),
         RowBlocks(call, size.experts, out), 1}));
  }
  return absl::OkStatus();
}

absl::Status AddTiles(const ProductCall& call, Lowering& out) {
  const Value& weight = *out.node().operand(call.weight);
  const MatrixSize size(weight);
  for (const Lowering::Part& part : out.Parts(call.weight)) {
    struct {
      Size rows;
      uint32_t columns, outputs, first_row, part_rows, has_bias;
    } const push = {.rows = call.rows,
                    .columns = static_cast<uint32_t>(size.columns),
                    .outputs = static_cast<uint32_t>(size.outputs),
                    .first_row = part.first_row,
                    .part_rows = part.rows,
                    .has_bias = out.Has(call.bias)};
    SLUICE_RETURN_IF_ERROR(out.Dispatch(
        {ShaderFor("matmul", weight.type().dtype)},
        {Reads(part.span), Reads(out.Operand(call.x)), Reads(out.Operand(call.bias)),
         Writes(call.y)},
        push, {(part.rows + kTile - 1) / kTile, (out.Bound(call.rows) + kTile - 1) / kTile, 1}));
  }
  return absl::OkStatus();
}

// Operands that are weights of any format.
bool IsMatrix(const Node& node, size_t i) {
  return node.operand(i) != nullptr && IsPackable(node.op(), i);
}

absl::Status CheckMatrix(const Value& weight) {
  const TensorType& type = weight.type();
  const auto refuse = [&](absl::string_view expected) {
    return absl::UnimplementedError(
        absl::StrCat(weight.ref(), " is ", type.ToString(), ", expected ", expected));
  };
  const DType stored = StoredAs(type.dtype);
  if (!IsNative(stored)) return refuse("a format of weights");
  if (!type.shape.back().is_constant() || type.shape.back().factor() % kQuad != 0) {
    return refuse(absl::StrCat("rows of a multiple of ", kQuad, " elements"));
  }
  return absl::OkStatus();
}

bool NeedsDecoding(const Node& node) {
  for (size_t i = 0; i < node.operands().size(); ++i) {
    if (IsMatrix(node, i) && !IsNative(node.operand(i)->type().dtype)) return true;
  }
  return false;
}

absl::Status CheckMatrices(const Node& node) {
  for (size_t i = 0; i < node.operands().size(); ++i) {
    if (IsMatrix(node, i)) SLUICE_RETURN_IF_ERROR(CheckMatrix(*node.operand(i)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AddProduct(const ProductCall& call, Form form, Lowering& out) {
  return form == Form::kTiles ? AddTiles(call, out) : AddVectors(call, out);
}

absl::Status AddGlu(ProductCall gate, size_t up, size_t up_bias, Form form, Lowering& out) {
  gate.y = out.Result(0);
  SLUICE_RETURN_IF_ERROR(AddProduct(gate, form, out));
  ProductCall other = gate;
  other.weight = up;
  other.bias = up_bias;
  other.y = out.Scratch();
  SLUICE_RETURN_IF_ERROR(AddProduct(other, form, out));
  const bool is_silu = out.call().String("act") == "silu";
  const Size count = out.Elements(out.node().result()->type().shape);
  return AddElementwise({.op = is_silu ? Elementwise::kSiluMul : Elementwise::kGeluMul,
                         .a = out.Result(0),
                         .b = out.Scratch(),
                         .y = out.Result(0),
                         .count = count,
                         .period = count},
                        out);
}

absl::StatusOr<int64_t> GluScratch(const Node& node, const SymbolValues& bounds,
                                   const proto::DeviceCaps&) {
  return bounds.EvaluateBytes(node.result()->type());
}

absl::Status AcceptsNative(const Node& node, const proto::DeviceCaps&) {
  SLUICE_RETURN_IF_ERROR(CheckMatrices(node));
  if (!NeedsDecoding(node)) return absl::OkStatus();
  return absl::UnimplementedError("no shader decodes the format of a weight");
}

absl::Status AcceptsDecoded(const Node& node, const proto::DeviceCaps&) {
  SLUICE_RETURN_IF_ERROR(CheckMatrices(node));
  if (NeedsDecoding(node)) return absl::OkStatus();
  return absl::UnimplementedError("shaders decode all of its weights");
}

void AddWeightKernels(const Kernel& record, absl::Status (*lower)(Lowering& out),
                      std::vector<VulkanKernel>* kernels) {
  VulkanKernel native = {record, lower};
  native.record.accepts = AcceptsNative;
  kernels->push_back(native);
  VulkanKernel decoded = {record, lower};
  decoded.record.name += ".f16";
  decoded.record.doc += "; weights that no shader decodes became f16 when loaded";
  decoded.record.accepts = AcceptsDecoded;
  kernels->push_back(decoded);
}

}  // namespace sluice::vulkan
