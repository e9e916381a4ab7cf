// Kernels as records: what a backend can run, whether it takes a given node, and at what price.
// "Supported" means that some kernel accepts; there is no other list.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graph/graph.h"
#include "proto/device.pb.h"

namespace sluice {

struct Kernel {
  std::string name;  // "cpu.matmul.panel"
  std::string op;    // the op that it implements
  std::string doc;   // one line

  // OK, or why this kernel does not take the node ("weight is iq2_xxs, which has no decoder").
  absl::Status (*accepts)(const Node& node, const proto::DeviceCaps& caps);

  // Estimated seconds at the symbols' bounds, to choose between kernels that accept. Null: 0.
  double (*cost)(const Node& node, const SymbolValues& bounds,
                 const proto::DeviceCaps& caps) = nullptr;

  // Bytes of working memory at the symbols' bounds. Null: none.
  std::function<absl::StatusOr<int64_t>(const Node& node, const SymbolValues& bounds,
                                        const proto::DeviceCaps& caps)>
      scratch = nullptr;
};

// The kernels of one backend. Immutable after construction.
class KernelSet {
 public:
  // All kernels of an op, in order of registration; empty if there are none.
  std::vector<const Kernel*> ForOp(absl::string_view op) const;
  const Kernel* Find(absl::string_view name) const;  // nullptr if unknown
  const std::vector<Kernel>& kernels() const { return kernels_; }
  void Add(Kernel kernel) { kernels_.push_back(std::move(kernel)); }

 private:
  std::vector<Kernel> kernels_;
};

}  // namespace sluice
