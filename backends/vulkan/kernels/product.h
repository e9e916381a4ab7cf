// Products with weights, of the linear and the moe family: which shader runs, and in which form.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backends/vulkan/lowering.h"

namespace sluice::vulkan {

// Which rows of x meet which matrix; as in shaders/matvec.comp.
enum class Mode : uint32_t {
  kPlain,    // all rows one matrix
  kIndexed,  // row i the matrix of expert ids[i]
  kGrouped,  // rows offsets[e] .. offsets[e+1] - 1 that of expert e
};

// y = x * weight^T + bias. The weight is operand `weight` of the node, its last dimension that of
// x.
struct ProductCall {
  size_t x = 0;
  size_t weight = 1;
  size_t bias = 2;  // may be left out
  Mode mode = Mode::kPlain;
  size_t index = 0;  // ids or offsets
  Span y = {};
  Size rows = {};  // of y
};

// How it is done: for few rows, the weight is read once for every few of them.
enum class Form : uint8_t { kVector, kTiles };
absl::Status AddProduct(const ProductCall& call, Form form, Lowering& out);

// Both products of a gated unit, and y = act(gate) * up. The second is in the node's scratch
// memory.
absl::Status AddGlu(ProductCall gate, size_t up, size_t up_bias, Form form, Lowering& out);
absl::StatusOr<int64_t> GluScratch(const Node& node, const SymbolValues& bounds,
                                   const proto::DeviceCaps& caps);

// Kernels for an op with weights come in two: one that reads them as they are in the file, and one
// for formats that are decoded to f16 when the model is loaded. Whether a node is for the one.
absl::Status AcceptsNative(const Node& node, const proto::DeviceCaps& caps);
absl::Status AcceptsDecoded(const Node& node, const proto::DeviceCaps& caps);

// Adds the two, "<name>" and "<name>.f16", with the record's other fields as they are.
void AddWeightKernels(const Kernel& record, absl::Status (*lower)(Lowering& out),
                      std::vector<VulkanKernel>* kernels);

}  // namespace sluice::vulkan
