// Vulkan kernels of the layout family. reshape is a view and needs none.
#include "graph/ops/layout.h"
#include "absl/strings/str_cat.h"
#include "backends/vulkan/lowering.h"
#include "backends/vulkan/shaders/cast.inc"
#include "backends/vulkan/shaders/copy.inc"
#include "backends/vulkan/shaders/rows.inc"

namespace sluice::vulkan {
namespace {

constexpr int64_t kWord = 4;  // bytes

// Words of `elements` elements, whatever symbol they depend on.
Size Words(Size elements, DType dtype) {
  const DTypeInfo& info = Info(dtype);
  elements.factor = static_cast<uint32_t>(int64_t{elements.factor} * info.bytes_per_block /
                                          info.elements_per_block / kWord);
  return elements;
}

absl::Status LowerGatherRows(Lowering& out) {
  const auto in = As<GatherRowsCall>(out);
  const Shape& x = in.x.shape();
  const rows::Parameters parameters = {.count = out.Elements(in.rows.shape()),
                                       .limit = out.Elements({x[0]}),
                                       .columns = out.Elements({x[1]}),
                                       .repeat = 1};
  const int64_t elements = out.Bound(parameters.count) * out.Bound(parameters.columns);
  return out.Dispatch(
      "rows", rows::Constants{.SCATTER = false},
      rows::Bindings{
          .x = in.x.span, .rows = in.rows.span, .y = out.Result(0), .errors = out.ErrorSlot()},
      parameters, {GroupsFor(elements, rows::INVOCATIONS), 1, 1});
}

// The dimensions before `axis`, and those from it on.
Shape Before(const Shape& shape, int64_t axis) { return {shape.begin(), shape.begin() + axis}; }
Shape From(const Shape& shape, int64_t axis) { return {shape.begin() + axis, shape.end()}; }

absl::Status AddCopy(const copy::Parameters& parameters, const Span& from, const Span& to,
                     Lowering& out) {
  const int64_t words = out.Bound(parameters.runs) * out.Bound(parameters.run);
  return out.Dispatch("copy", copy::Bindings{.x = from, .y = to}, parameters,
                      {GroupsFor(words, copy::INVOCATIONS), 1, 1});
}

absl::Status LowerSlice(Lowering& out) {
  const int64_t axis = out.call().Int("axis");
  const Operand from = As<UnaryCall>(out).x;
  const TensorType& x = from.type();
  const TensorType& y = out.node().result()->type();
  const auto words = [&](const Shape& shape) { return Words(out.Elements(shape), x.dtype); };
  Size begin = words(From(x.shape, axis + 1));
  begin.factor *= static_cast<uint32_t>(out.call().Int("begin"));
  return AddCopy({.runs = out.Elements(Before(x.shape, axis)),
                  .run = words(From(y.shape, axis)),
                  .from_stride = words(From(x.shape, axis)),
                  .from_begin = begin,
                  .to_stride = words(From(y.shape, axis)),
                  .to_begin = {0, 0}},
                 from.span, out.Result(0), out);
}

absl::Status LowerConcat(Lowering& out) {
  const int64_t axis = out.call().Int("axis");
  const TensorType& y = out.node().result()->type();
  const auto words = [&](const Shape& shape) { return Words(out.Elements(shape), y.dtype); };
  Size begin = {0, 0};
  for (size_t i = 0; i < out.node().operands().size(); ++i) {
    const Operand piece = out.OperandAt(i);
    const Size run = words(From(piece.shape(), axis));
    begin.symbol = run.symbol;
    const absl::Status status = AddCopy({.runs = out.Elements(Before(y.shape, axis)),
                                         .run = run,
                                         .from_stride = run,
                                         .from_begin = {0, 0},
                                         .to_stride = words(From(y.shape, axis)),
                                         .to_begin = begin},
                                        piece.span, out.Result(0), out);
    if (!status.ok()) return status;
    begin.factor += run.factor;
  }
  return absl::OkStatus();
}

// Copies move words of 32 bits.
absl::Status AcceptsWords(const Node& node, const proto::DeviceCaps&) {
  const DType dtype = node.result()->type().dtype;
  if (dtype == DType::kF32 || dtype == DType::kI32) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("it is ", Name(dtype), ", expected f32 or i32"));
}

// The shader's number of a type; kNoType if it does not know it.
constexpr uint32_t kNoType = ~0U;
uint32_t CastType(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return cast::F32;
    case DType::kF16:
      return cast::F16;
    case DType::kBF16:
      return cast::BF16;
    case DType::kI32:
      return cast::I32;
    default:
      return kNoType;
  }
}

absl::Status AcceptsCast(const Node& node, const proto::DeviceCaps&) {
  const DType from = As<UnaryCall>(node).x->type().dtype;
  if (CastType(from) != kNoType) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("casts from ", Name(from)));
}

absl::Status LowerCast(Lowering& out) {
  const Operand x = As<UnaryCall>(out).x;
  const TensorType& y = out.node().result()->type();
  const cast::Parameters parameters = {.count = out.Elements(y.shape)};
  return out.Dispatch("cast",
                      cast::Constants{.FROM = CastType(x.type().dtype), .TO = CastType(y.dtype)},
                      cast::Bindings{.x = x.span, .y = out.Result(0)}, parameters,
                      {GroupsFor(out.Bound(parameters.count), cast::INVOCATIONS), 1, 1});
}

}  // namespace

void AddLayoutKernels(std::vector<VulkanKernel>* kernels) {
  kernels->push_back(
      {{"vulkan.gather_rows", "gather_rows", "copies rows", AcceptsAll}, LowerGatherRows});
  kernels->push_back({{"vulkan.slice", "slice", "copies runs of words", AcceptsWords}, LowerSlice});
  kernels->push_back(
      {{"vulkan.concat", "concat", "copies runs of words", AcceptsWords}, LowerConcat});
  kernels->push_back(
      {{"vulkan.cast", "cast", "element by element, through f32", AcceptsCast}, LowerCast});
}

}  // namespace sluice::vulkan
