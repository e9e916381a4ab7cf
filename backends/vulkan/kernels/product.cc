#include "backends/vulkan/kernels/product.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/device_info.h"
#include "backends/vulkan/formats.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

// As in the shaders.
constexpr int64_t kInvocations = 64;  // of a workgroup
constexpr uint32_t kMatrixSubgroups = 4;

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
  return call.mode == Mode::kIndexed || out.Bound(call.rows) == 1 ? 1 : kNarrowTile;
}

// Workgroups for that many outputs of each matrix.
int64_t OutputGroups(const ProductCall& call, Form form, int64_t outputs, const Lowering& out) {
  if (form == Form::kVector) return VectorGroups(outputs, out);
  int64_t tile = kWideTile;
  if (form == Form::kMatrices) tile = call.activation == Activation::kNone ? 128 : 64;
  return (outputs + tile - 1) / tile;
}

int64_t RowGroups(const ProductCall& call, Form form, int64_t experts, const Lowering& out) {
  const int64_t rows = out.Bound(call.rows), most = RowsPerGroup(call, form, out);
  return MostTiles(rows, call.mode == Mode::kGrouped ? experts : 0, most);
}

Span IndexOf(const ProductCall& call, Form form, Lowering& out) {
  if (call.mode == Mode::kPlain) return out.Operand(0);
  if (call.mode == Mode::kIndexed) return out.Operand(call.index);
  const TileTables tables =
      TileTablesOf(*out.node().operand(call.index), out.Bound(call.rows), out);
  return form == Form::kVector ? tables.narrow : tables.wide;
}

struct PartPush {
  uint32_t outputs, first_row, rows, row_bytes, groups;
};
struct Push {
  Size rows;
  uint32_t columns, experts, mode, slots_per_row, has_bias;
  std::array<PartPush, kMostWeights> parts;
};

Push PushOf(const ProductCall& call, Form form, const std::vector<Piece>& pieces,
            const Lowering& out) {
  const MatrixSize size(*out.node().operand(pieces[0].product->weight));
  const Shape& x = out.node().operand(0)->type().shape;
  const int64_t x_rows = out.Bound(out.Elements(Shape(x.begin(), x.end() - 1)));
  Push push = {.rows = call.rows,
               .columns = static_cast<uint32_t>(size.columns),
               .experts = static_cast<uint32_t>(size.experts),
               .mode = static_cast<uint32_t>(call.mode),
               .slots_per_row = static_cast<uint32_t>(out.Bound(call.rows) / x_rows),
               .has_bias = 0,
               .parts = {}};
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto& [product, part] = pieces[i];
    const int64_t outputs = MatrixSize(*out.node().operand(product->weight)).outputs;
    const int64_t count = call.mode == Mode::kPlain ? part.rows : outputs;
    const int64_t groups = OutputGroups(call, form, count, out);
    push.has_bias |= uint32_t{out.Has(product->bias)} << i;
    push.parts[i] = {static_cast<uint32_t>(outputs), part.first_row, part.rows, part.row_bytes,
                     static_cast<uint32_t>(groups)};
  }
  return push;
}

// The shader of a form, with its constants and arrays of bindings.
Shader ShaderOf(const ProductCall& call, Form form, const std::vector<DType>& formats,
                const Lowering& out) {
  const auto weights = static_cast<uint32_t>(formats.size());
  const uint32_t results = call.activation == Activation::kNone ? weights : 1;
  const int64_t columns = MatrixSize(*out.node().operand(call.products[0].weight)).columns;
  Shader shader = {.constants = FormatConstants(formats), .arrays = {weights, weights, results}};
  shader.constants.push_back(results);
  shader.constants.push_back(static_cast<uint32_t>(call.activation));
  const auto rows = static_cast<uint32_t>(RowsPerGroup(call, form, out));
  switch (form) {
    case Form::kVector:
      shader.name = ShaderFor("matvec", columns);
      shader.constants.push_back(rows);
      break;
    case Form::kTiles:
      shader.name = ShaderFor("matmul", columns);
      break;
    case Form::kMatrices: {
      shader.name = ShaderFor("matmul_coopmat", columns);
      const auto& [m, n, k] = out.device().matrix;
      const uint32_t invocations = kMatrixSubgroups * out.device().subgroup_size;
      shader.constants.insert(shader.constants.end(), {m, n, k, rows, invocations});
      break;
    }
  }
  return shader;
}

// One dispatch.
absl::Status AddPieces(const ProductCall& call, Form form, const std::vector<Piece>& pieces,
                       Lowering& out) {
  const bool is_gated = call.activation != Activation::kNone;
  const Push push = PushOf(call, form, pieces, out);
  const size_t results = is_gated ? 1 : pieces.size();
  std::vector<Binding> bindings;
  std::vector<DType> formats;
  int64_t groups = 0;
  for (const Piece& piece : pieces) {
    bindings.push_back(Reads(piece.part.span));
    formats.push_back(out.node().operand(piece.product->weight)->type().dtype);
  }
  for (const Piece& piece : pieces) bindings.push_back(Reads(out.Operand(piece.product->bias)));
  for (size_t i = 0; i < results; ++i) {
    bindings.push_back(Writes(pieces[i].product->y));
    groups += push.parts[i].groups;
  }
  for (const Span& span : {out.Operand(0), IndexOf(call, form, out)}) {
    bindings.push_back(Reads(span));
  }
  bindings.push_back(Writes(out.ErrorSlot()));

  return out.Dispatch(ShaderOf(call, form, formats, out), std::move(bindings), push,
                      {groups, RowGroups(call, form, push.experts, out), 1});
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
      return {".tiles", kWideTile, kWideTile, 2};  // the way through shared memory is longer
    case Form::kMatrices:
      return {".coopmat", 2 * kWideTile, kWideTile, 2};
  }
  return {".vectors", kNarrowTile, kNarrowTile, 1};
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
  for (size_t first = 0; first < pieces.size(); first += kMostWeights) {
    const auto begin = pieces.begin() + static_cast<ptrdiff_t>(first);
    const size_t count = std::min(kMostWeights, pieces.size() - first);
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

std::vector<uint32_t> FormatConstants(const std::vector<DType>& formats) {
  std::vector<uint32_t> constants = {static_cast<uint32_t>(formats.size())};
  for (size_t i = 0; i < kMostWeights; ++i) {
    constants.push_back(FormatNumber(formats[i < formats.size() ? i : 0]));
  }
  return constants;
}

int64_t VectorGroups(int64_t outputs, const Lowering& out) {
  constexpr int64_t kMost = 65535 / kMostWeights;  // so that those of all weights are not too many
  return std::min(kMost, GroupsFor(outputs, kInvocations / out.device().subgroup_size));
}

int64_t MostTiles(int64_t rows, int64_t experts, int64_t rows_per_tile) {
  return std::min(rows, (rows + rows_per_tile - 1) / rows_per_tile + experts);
}

TileTables TileTablesOf(const Value& offsets, int64_t rows, Lowering& out) {
  const int64_t experts = offsets.type().shape[0].factor() - 1;
  const auto bytes = [&](int64_t rows_per_tile) {
    return AlignBinding((1 + 2 * MostTiles(rows, experts, rows_per_tile)) * 4);
  };
  Span narrow = out.KeptBeside(offsets, bytes(kNarrowTile) + bytes(kWideTile));
  Span wide = narrow;
  narrow.bytes = bytes(kNarrowTile);
  wide.offset += narrow.bytes;
  wide.bytes -= narrow.bytes;
  return {narrow, wide};
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
