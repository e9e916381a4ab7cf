// How a kernel becomes commands: what it sees of its node, and the calls that add dispatches.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "backends/kernel.h"
#include "backends/vulkan/device.h"
#include "backends/vulkan/schedule.h"
#include "graph/graph.h"

namespace sluice::vulkan {

// A size as shaders get it: `factor` times the value of a symbol in this step, symbol 0 being 1.
// So one recorded command serves every size up to the bounds.
struct Size {
  uint32_t factor = 1;
  uint32_t symbol = 0;
};

// A shader that a dispatch runs and what it is given. Binding 0, the symbols' values, is added.
struct Shader {
  std::string name;
  std::vector<uint32_t> constants = {};  // specialisation constants 0, 1, ...
  // Buffers of bindings 1, 2, ... where those are arrays; all others are one.
  std::vector<uint32_t> arrays = {};
};

// What the commands of a graph are built into, node after node.
struct Program {
  std::vector<Command> commands;
  std::vector<uint32_t> tables;          // the words of Region::kTables
  std::vector<const Node*> error_slots;  // the node of each slot of Region::kErrors
  absl::flat_hash_map<const Value*, Span> places;
  absl::flat_hash_map<const Value*, Span> kept;  // in Region::kKept, beside these values
  int64_t kept_bytes = 0;
};

// Offsets of bindings are multiples of this on every device that is accepted.
inline constexpr int64_t kBindingAlignment = 64;
inline int64_t AlignBinding(int64_t offset) {
  return (offset + kBindingAlignment - 1) / kBindingAlignment * kBindingAlignment;
}
// One error slot: code, value, position, limit.
inline constexpr int64_t kErrorSlotBytes = kBindingAlignment;
// The values of symbols at the beginning of Region::kStep.
inline constexpr int64_t kSymbolBytes = 256;

class Lowering {
 public:
  // Without `pipelines`, the commands are as they will be but name no pipeline.
  Lowering(const Graph& graph, const Node& node, const DeviceInfo& device, PipelineCache* pipelines,
           Program* program);

  const Node& node() const { return node_; }
  const OpCall& call() const { return call_; }
  const DeviceInfo& device() const { return device_; }
  bool Has(size_t operand) const { return call_.Has(operand); }

  // The place of an operand; if it is left out, that of the sizes, as a binding must be something.
  Span Operand(size_t i) const;
  Span Result(size_t i) const { return program_->places.at(node_.result(i)); }
  // The node's working memory.
  Span Scratch() const;
  // Words that are the same whenever a dispatch begins: numbers that shaders read, or zeros that
  // they count in and leave behind as zeros.
  Span Table(absl::Span<const uint32_t> words);
  // Memory beside a value, the same for all who ask: what its kernel has found out for those of its
  // users, or a counter. Zeros at first, and then what was left there, from step to step.
  Span KeptBeside(const Value& value, int64_t bytes);
  // Where the shader says what only data can show. One dispatch, one slot.
  Span ErrorSlot();

  // Elements of a shape, and how many a size is at its symbol's bound, for grids.
  Size Elements(const Shape& shape) const;
  int64_t Bound(const Size& size) const;

  // `params` is a struct of 32-bit fields, as the shader's push constants.
  template <typename Params>
  absl::Status Dispatch(const Shader& shader, std::vector<Binding> bindings, const Params& params,
                        std::array<int64_t, 3> groups) {
    static_assert(sizeof(Params) % sizeof(uint32_t) == 0 && sizeof(Params) <= kPushConstantBytes);
    std::vector<uint32_t> words(sizeof(Params) / sizeof(uint32_t));
    std::memcpy(words.data(), &params, sizeof(Params));
    return AddDispatch(shader, std::move(bindings), std::move(words), groups);
  }

  // All bytes of one span to another of the same size.
  void Copy(const Span& from, const Span& to);

  // Row ranges of a weight, [rows,...], that one binding each can span; one for all but giants.
  struct Part {
    uint32_t first_row, rows, row_bytes;
    Span span;
  };
  std::vector<Part> Parts(size_t operand) const { return Parts(operand, RowsPerPart(operand)); }
  std::vector<Part> Parts(size_t operand, int64_t rows_per_part) const;
  int64_t RowsPerPart(size_t operand) const;

 private:
  absl::Status AddDispatch(const Shader& shader, std::vector<Binding> bindings,
                           std::vector<uint32_t> push, std::array<int64_t, 3> groups);

  int64_t WeightRows(size_t operand) const;

  const Graph& graph_;
  const Node& node_;
  const DeviceInfo& device_;
  PipelineCache* pipelines_;
  Program* program_;
  decltype(node_.OperandTypes()) types_;
  OpCall call_;
};

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
