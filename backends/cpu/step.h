// How the CPU backend runs a node: a kernel record plus the step that it makes for one node.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backends/cpu/threads.h"
#include "backends/kernel.h"
#include "graph/graph.h"
#include "graph/op_call.h"
#include "graph/tensor.h"

namespace sluice::cpu {

// What a step gets at run time. Result dims are the actual ones of this run. `scratch` has the
// bytes that the step asked for and holds nothing from before.
struct StepArgs {
  absl::Span<const TensorView> operands;
  absl::Span<const TensorView> results;
  const Threads& threads;
  std::byte* scratch;
};

// The operands by name; one that is left out has no data: its f32() is nullptr. The view refers to
// what the step got, so that it is not to be kept.
using sluice::As;
template <template <typename> class Call>
auto As(const StepArgs& args) {
  assert(args.operands.size() <= kOperandCount<Call>);
  return FromViews<Call>(args.operands);
}

// Bytes of so many floats, for scratch memory.
inline int64_t FloatBytes(int64_t count) { return count * static_cast<int64_t>(sizeof(float)); }

// A node, lowered. Made once when the graph is compiled: tables, primitives and sizes that do not
// depend on data are prepared there. Run allocates nothing.
class Step {
 public:
  virtual ~Step() = default;
  virtual int64_t scratch_bytes() const { return 0; }
  virtual absl::Status Run(const StepArgs& args) = 0;
};

// What a kernel sees of a node when it makes the step.
struct LowerContext {
  const Node& node;
  const SymbolValues& bounds;  // largest sizes that the step will meet
  const proto::DeviceCaps& caps;
  OpCall call;  // the node's op, operand types and attributes
};

struct CpuKernel {
  Kernel record;
  absl::StatusOr<std::unique_ptr<Step>> (*lower)(const LowerContext& context);
};

// The kernels, family by family as in graph/ops.
void AddLinearKernels(std::vector<CpuKernel>* kernels);
void AddMoeKernels(std::vector<CpuKernel>* kernels);
void AddNormRopeKernels(std::vector<CpuKernel>* kernels);
void AddAttentionKernels(std::vector<CpuKernel>* kernels);
void AddElementwiseKernels(std::vector<CpuKernel>* kernels);
void AddLayoutKernels(std::vector<CpuKernel>* kernels);
void AddSamplingKernels(std::vector<CpuKernel>* kernels);

}  // namespace sluice::cpu
