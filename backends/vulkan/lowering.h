// How a kernel becomes commands: what it sees of its node, and the calls that add dispatches.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "backends/kernel.h"
#include "backends/vulkan/device.h"
#include "backends/vulkan/interface.h"
#include "backends/vulkan/schedule.h"
#include "graph/graph.h"
#include "graph/op_call.h"

namespace sluice::vulkan {

// What the commands of a graph are built into, node after node.
struct Program {
  std::vector<Command> commands;
  std::vector<uint32_t> tables;          // the words of Region::kTables
  std::vector<const Node*> error_slots;  // the node of each slot of Region::kErrors
  absl::flat_hash_map<const Value*, Span> places;
  int64_t kept_bytes = 0;
};

// Offsets of bindings are multiples of this on every device that is accepted.
inline constexpr int64_t kBindingAlignment = 64;
inline int64_t AlignBinding(int64_t offset) {
  return (offset + kBindingAlignment - 1) / kBindingAlignment * kBindingAlignment;
}
// One error slot: code, value, position, limit.
inline constexpr int64_t kErrorSlotBytes = kBindingAlignment;

// An operand of the node, as kernels bind it.
struct Operand {
  const Value* value = nullptr;  // nullptr: left out
  Span span;                     // left out: the sizes, as a binding must be something

  bool is_given() const { return value != nullptr; }
  const TensorType& type() const { return value->type(); }
  const Shape& shape() const { return value->type().shape; }
};

class Lowering {
 public:
  // Without `pipelines`, the commands are as they will be but name no pipeline.
  Lowering(const Graph& graph, const Node& node, const DeviceInfo& device, PipelineCache* pipelines,
           Program* program);

  const Node& node() const { return node_; }
  const OpCall& call() const { return call_; }
  const DeviceInfo& device() const { return device_; }

  // Operand i; kernels name theirs by the op's view, As<MatmulCall>(out).x.
  Operand OperandAt(size_t i) const;
  // What stands for an operand that the op does not have.
  static Operand NoOperand() { return {nullptr, {.region = Region::kStep, .bytes = kSymbolBytes}}; }
  Span Result(size_t i) const { return program_->places.at(node_.result(i)); }
  // The node's working memory.
  Span Scratch() const;
  // Words that are the same whenever a dispatch begins: numbers that shaders read, or zeros that
  // they count in and leave behind as zeros.
  Span Table(absl::Span<const uint32_t> words);
  // Memory of the node's own: zeros at first, and then what it left there, from step to step.
  Span Kept(int64_t bytes);
  // Where the shader says what only data can show. One dispatch, one slot.
  Span ErrorSlot();

  // Elements of a shape, and how many a size is at its symbol's bound, for grids.
  Size Elements(const Shape& shape) const;
  int64_t Bound(const Size& size) const;

  // What the shader is given are the structs of its file shaders/*.inc.
  template <typename Constants, typename Bindings, typename Parameters>
  absl::Status Dispatch(const std::string& shader, const Constants& constants,
                        const Bindings& bindings, const Parameters& parameters,
                        std::array<int64_t, 3> groups) {
    return AddDispatch(MakeShaderCall(shader, ConstantsOf(constants), bindings, parameters),
                       groups);
  }
  template <typename Bindings, typename Parameters>
  absl::Status Dispatch(const std::string& shader, const Bindings& bindings,
                        const Parameters& parameters, std::array<int64_t, 3> groups) {
    return AddDispatch(MakeShaderCall(shader, {}, bindings, parameters), groups);
  }

  // All bytes of one span to another of the same size.
  void Copy(const Span& from, const Span& to);

  // Row ranges of a weight, [rows,...], that one binding each can span; one for all but giants.
  struct Part {
    uint32_t first_row, rows, row_bytes;
    Span span;
  };
  std::vector<Part> Parts(const Operand& weight) const {
    return Parts(weight, RowsPerPart(weight));
  }
  std::vector<Part> Parts(const Operand& weight, int64_t rows_per_part) const;
  int64_t RowsPerPart(const Operand& weight) const;

 private:
  absl::Status AddDispatch(ShaderCall call, std::array<int64_t, 3> groups);

  int64_t WeightRows(const Operand& weight) const;

  const Graph& graph_;
  const Node& node_;
  const DeviceInfo& device_;
  PipelineCache* pipelines_;
  Program* program_;
  decltype(node_.OperandTypes()) types_;
  OpCall call_;
};

template <template <typename> class Call>
Call<Operand> As(const Lowering& out) {
  return MakeCall<Call>([&](size_t i) { return out.OperandAt(i); });
}

// Workgroups for so many elements: shaders stride over what a grid does not cover, so that a limit
// is no error.
int64_t GroupsFor(int64_t elements, int64_t per_group);

struct VulkanKernel {
  Kernel record;
  absl::Status (*lower)(Lowering& out);
};

// The kernels, family by family as in graph/ops.
void AddLinearKernels(std::vector<VulkanKernel>* kernels);
void AddMoeKernels(std::vector<VulkanKernel>* kernels);
void AddNormRopeKernels(std::vector<VulkanKernel>* kernels);
void AddAttentionKernels(std::vector<VulkanKernel>* kernels);
void AddElementwiseKernels(std::vector<VulkanKernel>* kernels);
void AddTransferKernels(std::vector<VulkanKernel>* kernels);
void AddLayoutKernels(std::vector<VulkanKernel>* kernels);
void AddSamplingKernels(std::vector<VulkanKernel>* kernels);

}  // namespace sluice::vulkan
