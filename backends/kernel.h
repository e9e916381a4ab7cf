// Kernels as records: what a backend can run, whether it takes a given node, and at what price.
// "Supported" means that some kernel accepts; there is no other list.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graph/graph.h"
#include "proto/device.pb.h"

namespace sluice {

// An arrangement of a weight's numbers other than the file's, made once when a model is loaded. The
// numbers are the same: a layout changes their order and their coding, not their values.
struct WeightLayout {
  std::string name;  // "x16"
  std::string doc;   // one line
  // OK, or why weights of this type do not come in it.
  absl::Status (*accepts)(const TensorType& type);
  // Bytes that the whole weight takes.
  int64_t (*bytes)(const TensorType& type);
};

// An operand that a kernel needs, though its op does without: what another node makes of the other
// operands.
struct DerivedOperand {
  size_t operand;                      // an optional one
  NodeSpec (*make)(const Node& node);  // op, operands and attributes of the node that makes it
};

struct Kernel {
  std::string name;  // "cpu.matmul.panel"
  std::string op;    // the op that it implements
  std::string doc;   // one line

  // OK, or why this kernel does not take the node ("weight is q8_k, which has no decoder").
  absl::Status (*accepts)(const Node& node, const proto::DeviceCaps& caps);

  // Estimated seconds at the symbols' bounds, to choose between kernels that accept. Null: 0.
  double (*cost)(const Node& node, const SymbolValues& bounds,
                 const proto::DeviceCaps& caps) = nullptr;

  // Bytes of working memory at the symbols' bounds. Null: none.
  std::function<absl::StatusOr<int64_t>(const Node& node, const SymbolValues& bounds,
                                        const proto::DeviceCaps& caps)>
      scratch = nullptr;

  // The layout that its weights must have, as far as IsPackable; empty: as in the file.
  std::string layout = "";

  // Given to the node by the pass derive_operands.
  std::optional<DerivedOperand> derived = std::nullopt;
};

// For kernels that take every node of their op.
absl::Status AcceptsAll(const Node& node, const proto::DeviceCaps& caps);

// The kernels of one backend. Immutable after construction.
class KernelSet {
 public:
  // All kernels of an op, in order of registration; empty if there are none.
  std::vector<const Kernel*> ForOp(absl::string_view op) const;
  const Kernel* Find(absl::string_view name) const;              // nullptr if unknown
  const WeightLayout* FindLayout(absl::string_view name) const;  // nullptr if unknown
  const std::vector<Kernel>& kernels() const { return kernels_; }
  const std::vector<WeightLayout>& layouts() const { return layouts_; }
  void Add(Kernel kernel) { kernels_.push_back(std::move(kernel)); }
  void AddLayout(WeightLayout layout) { layouts_.push_back(std::move(layout)); }

 private:
  std::vector<Kernel> kernels_;
  std::vector<WeightLayout> layouts_;
};

// Whether an operand of the op is a weight that may have a layout, by the op's record.
bool IsPackable(const OpDef& op, size_t operand);

// Empty, or which weight of the node has another layout than the kernel wants.
std::string LayoutFault(const Node& node, const Kernel& kernel);

// Whether the node is as the spec says, names aside.
bool IsSame(const Node& node, const NodeSpec& spec);
// Empty, or which derived operand the kernel needs and the node lacks.
std::string DerivedFault(const Node& node, const Kernel& kernel);

}  // namespace sluice
