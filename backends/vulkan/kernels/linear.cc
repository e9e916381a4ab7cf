// Vulkan kernels of the linear family: embedding, matmul, qkv_matmul, glu.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/kernels/product.h"
#include "backends/vulkan/shaders/embedding.inc"
#include "graph/ops/linear.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

absl::Status LowerEmbedding(Lowering& out) {
  const auto in = As<EmbeddingCall>(out);
  const TensorType& table = in.table.type();
  const Size count = out.Elements(in.ids.shape());
  const auto columns = static_cast<uint32_t>(table.shape[1].factor());
  const int64_t pieces = out.Bound(count) * ((columns + embedding::GROUP - 1) / embedding::GROUP);
  for (const Lowering::Part& part : out.Parts(in.table)) {
    const embedding::Parameters parameters = {
        .count = count,
        .columns = columns,
        .limit = static_cast<uint32_t>(table.shape[0].factor()),
        .first_row = part.first_row,
        .rows = part.rows,
        .row_bytes = part.row_bytes};
    SLUICE_RETURN_IF_ERROR(out.Dispatch(ShaderFor("embedding", columns),
                                        embedding::Constants{.formats = FormatsOf({table.dtype})},
                                        embedding::Bindings{.weights = {part.span},
                                                            .ids = in.ids.span,
                                                            .y = out.Result(0),
                                                            .errors = out.ErrorSlot()},
                                        parameters, {GroupsFor(pieces, VECTOR_INVOCATIONS), 1, 1}));
  }
  return absl::OkStatus();
}

Size RowsOf(const Operand& x, const Lowering& out) {
  const Shape& shape = x.shape();
  return out.Elements(Shape(shape.begin(), shape.end() - 1));
}

template <Form kForm>
absl::Status LowerMatmul(Lowering& out) {
  const auto in = As<MatmulCall>(out);
  return AddProducts({.x = in.x,
                      .products = {{.weight = in.weight, .bias = in.bias, .y = out.Result(0)}},
                      .rows = RowsOf(in.x, out)},
                     kForm, out);
}

template <Form kForm>
absl::Status LowerQkvMatmul(Lowering& out) {
  const auto in = As<QkvMatmulCall>(out);
  return AddProducts({.x = in.x,
                      .products = {{.weight = in.q_weight, .bias = in.q_bias, .y = out.Result(0)},
                                   {.weight = in.k_weight, .bias = in.k_bias, .y = out.Result(1)},
                                   {.weight = in.v_weight, .bias = in.v_bias, .y = out.Result(2)}},
                      .rows = RowsOf(in.x, out)},
                     kForm, out);
}

template <Form kForm>
absl::Status LowerGlu(Lowering& out) {
  const auto in = As<GluCall>(out);
  return AddProducts({.x = in.x,
                      .products = {{.weight = in.gate, .bias = in.gate_bias, .y = out.Result(0)},
                                   {.weight = in.up, .bias = in.up_bias}},
                      .activation = ActivationOf(out.call().String("act")),
                      .rows = RowsOf(in.x, out)},
                     kForm, out);
}

// Passes over the weights, at a speed that stands for all devices: only their ratio decides.
template <template <typename> class Call, Form kForm>
double Cost(const Node& node, const SymbolValues& bounds, const proto::DeviceCaps&) {
  constexpr double kBytesPerSecond = 1e11;
  const Value* const x_value = As<Call>(node).x;
  const Shape& x = x_value->type().shape;
  double rows = 1, bytes = 0;
  for (size_t i = 0; i + 1 < x.size(); ++i) {
    rows *= static_cast<double>(bounds.Evaluate(x[i]).value_or(1));
  }
  for (const Value* weight : node.operands()) {
    if (weight == nullptr || weight == x_value) continue;
    bytes += static_cast<double>(bounds.EvaluateBytes(weight->type()).value_or(0));
  }
  const FormInfo info = InfoOf(kForm);
  const double blocks = std::ceil(rows / static_cast<double>(info.rows));
  return bytes * blocks * info.passes / kBytesPerSecond;
}

template <Form kForm>
absl::Status Accepts(const Node& node, const proto::DeviceCaps& caps) {
  return AcceptsForm(kForm, node, caps);
}

template <Form kForm>
void AddKernels(std::vector<VulkanKernel>* kernels) {
  const FormInfo info = InfoOf(kForm);
  const auto add = [&](const char* op, const char* doc, auto cost, auto lower) {
    AddWeightKernels<Accepts<kForm>>({.name = absl::StrCat("vulkan.", op, info.suffix),
                                      .op = op,
                                      .doc = absl::StrCat(doc, ", ", info.rows, " rows at a time"),
                                      .accepts = nullptr,
                                      .cost = cost},
                                     lower, kernels);
  };
  add("matmul", "one product", Cost<MatmulCall, kForm>, LowerMatmul<kForm>);
  add("qkv_matmul", "three products in one dispatch", Cost<QkvMatmulCall, kForm>,
      LowerQkvMatmul<kForm>);
  add("glu", "two products and the activation in one dispatch", Cost<GluCall, kForm>,
      LowerGlu<kForm>);
}

}  // namespace

void AddLinearKernels(std::vector<VulkanKernel>* kernels) {
  AddWeightKernels({.name = "vulkan.embedding",
                    .op = "embedding",
                    .doc = "decodes the chosen rows",
                    .accepts = nullptr},
                   LowerEmbedding, kernels);
  // Of equal cost, the first is taken.
  AddKernels<Form::kVector>(kernels);
  AddKernels<Form::kMatrices>(kernels);
  AddKernels<Form::kTiles>(kernels);
}

}  // namespace sluice::vulkan
