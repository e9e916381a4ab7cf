// Products with weights, of the linear and the moe family: which shader runs, and in which form.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "backends/vulkan/lowering.h"
#include "backends/vulkan/shaders/product.inc"

namespace sluice::vulkan {

// Which rows of x meet which matrix.
enum class Mode : uint32_t {
  kPlain = product::PLAIN,      // all rows one matrix
  kIndexed = product::INDEXED,  // row i the matrix of expert ids[i]
  kGrouped = product::GROUPED,  // those of a tile that of its expert
};

// How products are computed: for few rows, the weight is read once for every few of them; for
// many, tiles of results in float32, or in cooperative matrices of float16 with sums in float32.
enum class Form : uint8_t { kVector, kTiles, kMatrices };
struct FormInfo {
  const char* suffix;  // of its kernels' names
  // Rows of x that meet a weight each time it is read: of one matrix, of one expert's.
  int64_t rows, expert_rows;
  double passes;  // how long that takes, in times that it takes to read the weight
};
FormInfo InfoOf(Form form);
// OK, or why not: kMatrices is refused where the device has no such matrices, and for weights in
// float32, which float16 would round.
absl::Status AcceptsForm(Form form, const Node& node, const proto::DeviceCaps& caps);

enum class Activation : uint32_t {
  kNone = product::NONE,
  kSilu = product::SILU,
  kGelu = product::GELU,
};

// y = x * weight^T + bias. The weight is [..,out,in]; the bias may be left out.
struct Product {
  Operand weight;
  Operand bias;
  Span y = {};
};

// Products of the same x in one dispatch, or as few as bindings and weights
// of its size allow. With an activation there are two, and y of the first is
// activation(first) * second.
struct ProductCall {
  Operand x;
  std::vector<Product> products;
  Activation activation = Activation::kNone;
  Mode mode = Mode::kPlain;
  Operand index = Lowering::NoOperand();  // ids, or tiles as of expert_tiles
  Size rows = {};                         // of y
};
absl::Status AddProducts(const ProductCall& call, Form form, Lowering& out);

Activation ActivationOf(absl::string_view op);

// The variant of a shader that reads weights with rows of so many elements: four elements at a time
// where all rows have whole ones, else one by one.
std::string ShaderFor(absl::string_view name, int64_t columns);

// The constants of a shader that reads weights of these formats, up to MAX_WEIGHTS.
WeightFormats FormatsOf(const std::vector<DType>& formats);

// Workgroups of matvec.comp and its like: a subgroup an output.
int64_t VectorGroups(int64_t outputs, const Lowering& out);

// Blocks that `rows` rows of `experts` experts make up: the last one of each may be partly empty.
int64_t MostTiles(int64_t rows, int64_t experts, int64_t rows_per_tile);

// Kernels for an op with weights come in two: one that reads them as they are in the file, and one
// for formats that are decoded to f16 when the model is loaded. OK if a node is for that one, or
// why not.
absl::Status AcceptsNative(const Node& node, const proto::DeviceCaps& caps);
absl::Status AcceptsDecoded(const Node& node, const proto::DeviceCaps& caps);

// Adds the two, "<name>" and "<name>.f16", which accept what kCheck accepts as well; the record's
// other fields as they are.
template <absl::Status (*kCheck)(const Node&, const proto::DeviceCaps&) = AcceptsAll>
void AddWeightKernels(const Kernel& record, absl::Status (*lower)(Lowering& out),
                      std::vector<VulkanKernel>* kernels) {
  VulkanKernel native = {record, lower};
  native.record.accepts = [](const Node& node, const proto::DeviceCaps& caps) {
    const absl::Status status = kCheck(node, caps);
    return status.ok() ? AcceptsNative(node, caps) : status;
  };
  kernels->push_back(native);
  VulkanKernel decoded = {record, lower};
  decoded.record.name += ".f16";
  decoded.record.doc += "; weights that no shader decodes became f16 when loaded";
  decoded.record.accepts = [](const Node& node, const proto::DeviceCaps& caps) {
    const absl::Status status = kCheck(node, caps);
    return status.ok() ? AcceptsDecoded(node, caps) : status;
  };
  kernels->push_back(decoded);
}

}  // namespace sluice::vulkan
