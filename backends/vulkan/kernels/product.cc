#include "backends/vulkan/kernels/product.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/device_info.h"
#include "backends/vulkan/formats.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

// Of a weight [out,in] or [E,out,in].
struct MatrixSize {
  explicit MatrixSize(const Operand& weight) {
    const Shape& shape = weight.shape();
    columns = shape.back().factor();
    outputs = shape[shape.size() - 2].factor();
    experts = shape.size() > 2 ? shape[0].factor() : 1;
  }
  int64_t columns, outputs, experts;
};

// A product, or those of its rows of the weight that one binding spans.
struct Piece {
  const Product* product;
  Lowering::Part part;
};

// Rows of y that a workgroup works on.
int64_t RowsPerGroup(const ProductCall& call, Form form, const Lowering& out) {
  const FormInfo info = InfoOf(form);
  if (call.mode == Mode::kGrouped) return info.expert_rows;
  if (form != Form::kVector) return info.rows;
  return call.mode == Mode::kIndexed || out.Bound(call.rows) == 1 ? 1 : NARROW_TILE;
}

// Workgroups for that many outputs of each matrix.
int64_t OutputGroups(const ProductCall& call, Form form, int64_t outputs, const Lowering& out) {
  if (form == Form::kVector) return VectorGroups(outputs, out);
  int64_t tile = WIDE_TILE;
  if (form == Form::kMatrices) tile = call.activation == Activation::kNone ? TILE_W : TILE_W / 2;
  return (outputs + tile - 1) / tile;
}

int64_t RowGroups(const ProductCall& call, Form form, int64_t experts, const Lowering& out) {
  const int64_t rows = out.Bound(call.rows), most = RowsPerGroup(call, form, out);
  return MostTiles(rows, call.mode == Mode::kGrouped ? experts : 0, most);
}

product::Parameters ParametersOf(const ProductCall& call, Form form,
                                 const std::vector<Piece>& pieces, const Lowering& out) {
  const MatrixSize size(pieces[0].product->weight);
  const Shape& x = call.x.shape();
  const int64_t x_rows = out.Bound(out.Elements(Shape(x.begin(), x.end() - 1)));
  product::Parameters parameters = {
      .rows = call.rows,
      .columns = static_cast<uint32_t>(size.columns),
      .experts = static_cast<uint32_t>(size.experts),
      .mode = static_cast<uint32_t>(call.mode),
      .slots_per_row = static_cast<uint32_t>(out.Bound(call.rows) / x_rows),
      .has_bias = 0,
      .parts = {}};
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto& [product, part] = pieces[i];
    const int64_t outputs = MatrixSize(product->weight).outputs;
    const int64_t count = call.mode == Mode::kPlain ? part.rows : outputs;
    parameters.has_bias |= uint32_t{product->bias.is_given()} << i;
    parameters.parts[i] = {.outputs = static_cast<uint32_t>(outputs),
                           .first_row = part.first_row,
                           .rows = part.rows,
                           .row_bytes = part.row_bytes,
                           .groups = static_cast<uint32_t>(OutputGroups(call, form, count, out))};
  }
  return parameters;
}

product::Constants ConstantsOf(const ProductCall& call, Form form,
                               const std::vector<DType>& formats, const Lowering& out) {
  const auto& [m, n, k] = out.device().matrix;
  const bool is_gated = call.activation != Activation::kNone;
  return {.formats = FormatsOf(formats),
          .RESULTS = is_gated ? 1 : static_cast<uint32_t>(formats.size()),
          .ACTIVATION = static_cast<uint32_t>(call.activation),
          .BLOCK_ROWS = static_cast<uint32_t>(RowsPerGroup(call, form, out)),
          .M = m,
          .N = n,
          .K = k,
          .LANES = SUBGROUPS * out.device().subgroup_size};
}

absl::string_view NameOf(Form form) {
  switch (form) {
    case Form::kVector:
      break;
    case Form::kTiles:
      return "matmul";
    case Form::kMatrices:
      return "matmul_coopmat";
  }
  return "matvec";
}

// One dispatch.
absl::Status AddPieces(const ProductCall& call, Form form, const std::vector<Piece>& pieces,
                       Lowering& out) {
  const product::Parameters parameters = ParametersOf(call, form, pieces, out);
  const size_t results = call.activation != Activation::kNone ? 1 : pieces.size();
  product::Bindings bindings = {.weights = {},
                                .bias = {},
                                .y = {},
                                .x = call.x.span,
                                .index = call.index.span,
                                .errors = out.ErrorSlot()};
  std::vector<DType> formats;
  for (const Piece& piece : pieces) {
    bindings.weights.push_back(piece.part.span);
    bindings.bias.push_back(piece.product->bias.span);
    formats.push_back(piece.product->weight.type().dtype);
  }
  int64_t groups = 0;
  for (size_t i = 0; i < results; ++i) {
    bindings.y.push_back(pieces[i].product->y);
    groups += parameters.parts[i].groups;
  }
  return out.Dispatch(ShaderFor(NameOf(form), parameters.columns),
                      ConstantsOf(call, form, formats, out), bindings, parameters,
                      {groups, RowGroups(call, form, parameters.experts, out), 1});
}

// Whether operand i is a weight, of whatever format.
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
  if (!type.shape.back().is_constant()) return refuse("rows of a constant length");
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

FormInfo InfoOf(Form form) {
  switch (form) {
    case Form::kVector:
      break;
    case Form::kTiles:
      return {".tiles", WIDE_TILE, WIDE_TILE, 2};  // the way through shared memory is longer
    case Form::kMatrices:
      return {".coopmat", int64_t{2} * WIDE_TILE, WIDE_TILE, 2};
  }
  return {".vectors", NARROW_TILE, NARROW_TILE, 1};
}

absl::Status AcceptsForm(Form form, const Node& node, const proto::DeviceCaps& caps) {
  if (form != Form::kMatrices) return absl::OkStatus();
  const auto& features = caps.features();
  if (std::find(features.begin(), features.end(), kCooperativeMatrixFeature) == features.end()) {
    return absl::UnimplementedError(
        "the device has no cooperative matrices of float16 with sums in float32, or they are off");
  }
  for (size_t i = 0; i < node.operands().size(); ++i) {
    if (!IsMatrix(node, i) || node.operand(i)->type().dtype != DType::kF32) continue;
    return absl::UnimplementedError(
        absl::StrCat(node.operand(i)->ref(), " is f32, which float16 would round"));
  }
  return absl::OkStatus();
}

absl::Status AddProducts(const ProductCall& call, Form form, Lowering& out) {
  if (call.activation != Activation::kNone) {
    const Product &gate = call.products[0], &up = call.products[1];
    const int64_t rows = std::min(out.RowsPerPart(gate.weight), out.RowsPerPart(up.weight));
    const std::vector<Lowering::Part> gates = out.Parts(gate.weight, rows);
    const std::vector<Lowering::Part> ups = out.Parts(up.weight, rows);
    for (size_t i = 0; i < gates.size(); ++i) {
      SLUICE_RETURN_IF_ERROR(AddPieces(call, form, {{&gate, gates[i]}, {&up, ups[i]}}, out));
    }
    return absl::OkStatus();
  }
  std::vector<Piece> pieces;
  for (const Product& product : call.products) {
    for (const Lowering::Part& part : out.Parts(product.weight)) pieces.push_back({&product, part});
  }
  for (size_t first = 0; first < pieces.size(); first += MAX_WEIGHTS) {
    const auto begin = pieces.begin() + static_cast<ptrdiff_t>(first);
    const size_t count = std::min<size_t>(MAX_WEIGHTS, pieces.size() - first);
    SLUICE_RETURN_IF_ERROR(
        AddPieces(call, form, {begin, begin + static_cast<ptrdiff_t>(count)}, out));
  }
  return absl::OkStatus();
}

Activation ActivationOf(absl::string_view op) {
  return op == "silu" ? Activation::kSilu : Activation::kGelu;
}

std::string ShaderFor(absl::string_view name, int64_t columns) {
  constexpr int64_t kQuad = 4;
  return absl::StrCat(name, columns % kQuad == 0 ? "" : "_odd");
}

WeightFormats FormatsOf(const std::vector<DType>& formats) {
  const auto number = [&](size_t i) { return FormatNumber(formats[i < formats.size() ? i : 0]); };
  return {.WEIGHTS = static_cast<uint32_t>(formats.size()),
          .FORMAT0 = number(0),
          .FORMAT1 = number(1),
          .FORMAT2 = number(2)};
}

int64_t VectorGroups(int64_t outputs, const Lowering& out) {
  constexpr int64_t kMost = 65535 / MAX_WEIGHTS;  // so that those of all weights are not too many
  return std::min(kMost, GroupsFor(outputs, VECTOR_INVOCATIONS / out.device().subgroup_size));
}

int64_t MostTiles(int64_t rows, int64_t experts, int64_t rows_per_tile) {
  return std::min(rows, (rows + rows_per_tile - 1) / rows_per_tile + experts);
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

}  // namespace sluice::vulkan
