// The rules that a graph obeys once kernels are chosen and memory is planned, on top of those of
// graph/verifier.h. Backends check them before they run a graph, which may come from a file that
// somebody has edited.
#pragma once

#include "absl/status/status.h"
#include "backends/kernel.h"
#include "graph/graph.h"
#include "proto/device.pb.h"

namespace sluice {

// InvalidArgument with the rule, the node or value, and what was expected:
//
//   C1  Every node but a view names a kernel of this target for its op, and the kernel accepts it.
//       A view names none.
//   C2  A weight's layout is one of the target's, accepts the weight's type, and is the one that
//       each kernel that multiplies with the weight wants.
//   C3  Every tensor that a node makes has a place: in "const" if the node runs once, otherwise in
//       "act". Inputs, weights and states have memory of their own and no place, and so have views
//       and updates of them.
//   C4  Places begin at multiples of 64 bytes.
//   C5  A node whose kernel needs scratch memory has it in "act", and enough.
//   C6  No place ends behind what all of its region would take one after the other, each at its
//       size: a plan may waste, but not more than having none would.
//   C7  A node has the operand that its kernel derives from others (Kernel::derived), made of those
//       that it has.
absl::Status VerifyCompiled(const Graph& graph, const KernelSet& kernels,
                            const proto::DeviceCaps& caps);

}  // namespace sluice
