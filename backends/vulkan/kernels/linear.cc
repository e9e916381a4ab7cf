// Vulkan kernels of the linear family: embedding, matmul, qkv_matmul, glu.
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/kernels/product.h"
#include "backends/vulkan/shaders/embedding.inc"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

absl::Status LowerEmbedding(Lowering& out) {
  const TensorType& table = out.node().operand(0)->type();
  const Size count = out.Elements(out.node().operand(1)->type().shape);
  const auto columns = static_cast<uint32_t>(table.shape[1].factor());
  const int64_t pieces = out.Bound(count) * ((columns + embedding::GROUP - 1) / embedding::GROUP);
  for (const Lowering::Part& part : out.Parts(0)) {
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
                                                            .ids = out.Operand(1),
                                                            .y = out.Result(0),
                                                            .errors = out.ErrorSlot()},
                                        parameters, {GroupsFor(pieces, VECTOR_INVOCATIONS), 1, 1}));
  }
  return absl::OkStatus();
}

// Rows of operand 0.
Size RowsOf(const Lowering& out) {
  const Shape& x = out.node().operand(0)->type().shape;
  return out.Elements(Shape(x.begin(), x.end() - 1));
}

template <Form kForm>
absl::Status LowerMatmul(Lowering& out) {
  return AddProducts(
      {.products = {{.weight = 1, .bias = 2, .y = out.Result(0)}}, .rows = RowsOf(out)}, kForm,
      out);
}

template <Form kForm>
absl::Status LowerQkvMatmul(Lowering& out) {
  std::vector<Product> products;
  for (size_t i = 0; i < 3; ++i) {
    products.push_back({.weight = 1 + i, .bias = 4 + i, .y = out.Result(i)});
  }
  return AddProducts({.products = std::move(products), .rows = RowsOf(out)}, kForm, out);
}

template <Form kForm>
absl::Status LowerGlu(Lowering& out) {
  return AddProducts(
      {.products = {{.weight = 1, .bias = 3, .y = out.Result(0)}, {.weight = 2, .bias = 4}},
       .activation = ActivationOf(out.call().String("act")),
       .rows = RowsOf(out)},
      kForm, out);
}

// Passes over the weights, at a speed that stands for all devices: only their ratio decides.
template <Form kForm>
double Cost(const Node& node, const SymbolValues& bounds, const proto::DeviceCaps&) {
  constexpr double kBytesPerSecond = 1e11;
  const Shape& x = node.operand(0)->type().shape;
  double rows = 1, bytes = 0;
  for (size_t i = 0; i + 1 < x.size(); ++i) {
    rows *= static_cast<double>(bounds.Evaluate(x[i]).value_or(1));
  }
  for (size_t i = 1; i < node.operands().size(); ++i) {
    if (node.operand(i) == nullptr) continue;
    bytes += static_cast<double>(bounds.EvaluateBytes(node.operand(i)->type()).value_or(0));
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
  const auto add = [&](const char* op, const char* doc, auto lower) {
    AddWeightKernels<Accepts<kForm>>({.name = absl::StrCat("vulkan.", op, info.suffix),
                                      .op = op,
                                      .doc = absl::StrCat(doc, ", ", info.rows, " rows at a time"),
                                      .accepts = nullptr,
                                      .cost = Cost<kForm>},
                                     lower, kernels);
  };
  add("matmul", "one product", LowerMatmul<kForm>);
  add("qkv_matmul", "three products in one dispatch", LowerQkvMatmul<kForm>);
  add("glu", "two products and the activation in one dispatch", LowerGlu<kForm>);
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
