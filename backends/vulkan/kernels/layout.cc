// Vulkan kernels of the layout family. reshape is a view and needs none.
#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/lowering.h"

namespace sluice::vulkan {
namespace {

constexpr int64_t kGroup = 256;  // invocations
constexpr int64_t kWord = 4;     // bytes

// Words of `elements` elements, whatever symbol they depend on.
Size Words(Size elements, DType dtype) {
  const DTypeInfo& info = Info(dtype);
  elements.factor = static_cast<uint32_t>(int64_t{elements.factor} * info.bytes_per_block /
                                          info.elements_per_block / kWord);
  return elements;
}

absl::Status LowerGatherRows(Lowering& out) {
  const Shape& x = out.node().operand(0)->type().shape;
  struct {
    Size count, limit, columns;
    uint32_t repeat;
  } const push = {out.Elements(out.node().operand(1)->type().shape), out.Elements({x[0]}),
                  out.Elements({x[1]}), 1};
  return out.Dispatch({"rows", {0}},
                      {Reads(out.Operand(0)), Reads(out.Operand(1)), Writes(out.Result(0)),
                       Writes(out.ErrorSlot())},
                      push,
                      {GroupsFor(out.Bound(push.count) * out.Bound(push.columns), kGroup), 1, 1});
}

// The dimensions before `axis`, and those from it on.
Shape Before(const Shape& shape, int64_t axis) { return {shape.begin(), shape.begin() + axis}; }
Shape From(const Shape& shape, int64_t axis) { return {shape.begin() + axis, shape.end()}; }

struct CopyPush {
  Size runs, run, from_stride, from_begin, to_stride, to_begin;
};
absl::Status AddCopy(const CopyPush& push, const Span& from, const Span& to, Lowering& out) {
  return out.Dispatch({"copy"}, {Reads(from), Writes(to)}, push,
                      {GroupsFor(out.Bound(push.runs) * out.Bound(push.run), kGroup), 1, 1});
}

absl::Status LowerSlice(Lowering& out) {
  const int64_t axis = out.call().Int("axis");
  const TensorType& x = out.node().operand(0)->type();
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
                 out.Operand(0), out.Result(0), out);
}

absl::Status LowerConcat(Lowering& out) {
  const int64_t axis = out.call().Int("axis");
  const TensorType& y = out.node().result()->type();
  const auto words = [&](const Shape& shape) { return Words(out.Elements(shape), y.dtype); };
  Size begin = {0, 0};
  for (size_t i = 0; i < out.node().operands().size(); ++i) {
    const Size run = words(From(out.node().operand(i)->type().shape, axis));
    begin.symbol = run.symbol;
    const absl::Status status = AddCopy({.runs = out.Elements(Before(y.shape, axis)),
                                         .run = run,
                                         .from_stride = run,
                                         .from_begin = {0, 0},
                                         .to_stride = words(From(y.shape, axis)),
                                         .to_begin = begin},
                                        out.Operand(i), out.Result(0), out);
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

// As in shaders/cast.comp.
constexpr std::array kCastTypes = {DType::kF32, DType::kF16, DType::kBF16, DType::kI32};
uint32_t CastIndex(DType dtype) {
  return static_cast<uint32_t>(std::find(kCastTypes.begin(), kCastTypes.end(), dtype) -
                               kCastTypes.begin());
}

absl::Status AcceptsCast(const Node& node, const proto::DeviceCaps&) {
  const DType from = node.operand(0)->type().dtype;
  if (CastIndex(from) < kCastTypes.size()) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("casts from ", Name(from)));
}

absl::Status LowerCast(Lowering& out) {
  const TensorType& y = out.node().result()->type();
  struct {
    Size count;
  } const push = {out.Elements(y.shape)};
  return out.Dispatch(
      {"cast", {CastIndex(out.node().operand(0)->type().dtype), CastIndex(y.dtype)}},
      {Reads(out.Operand(0)), Writes(out.Result(0))}, push,
      {GroupsFor(out.Bound(push.count), kGroup), 1, 1});
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
