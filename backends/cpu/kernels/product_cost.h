// Estimated times of products, for the choice between kernels and for what a layout would save.
#pragma once

#include "backends/cpu/kernels/panel.h"
#include "graph/graph.h"
#include "graph/op_call.h"
#include "proto/device.pb.h"

namespace sluice::cpu {

// Seconds for the products of m rows of activations with a weight [rows, cols].
double ProductSeconds(Layout layout, DType dtype, int64_t rows, int64_t cols, int64_t m,
                      const proto::DeviceCaps& caps);

// How often a node meets its weights, or each of its stacked weights, and with how many rows.
struct Meetings {
  double count = 0;
  int64_t rows = 0;
};
Meetings LinearMeetings(const Value& x, const SymbolValues& bounds);
Meetings GroupedMeetings(const Value& rows, const Value& offsets, const SymbolValues& bounds);
Meetings IndexedMeetings(const Node& node, const SymbolValues& bounds);

// The sum over the node's weights.
double ProductsCost(const Node& node, Layout layout, const Meetings& meetings,
                    const proto::DeviceCaps& caps);

// As Kernel::cost; Call is the view of the op.
template <template <typename> class Call, Layout kLayout>
double LinearCost(const Node& node, const SymbolValues& bounds, const proto::DeviceCaps& caps) {
  return ProductsCost(node, kLayout, LinearMeetings(*As<Call>(node).x, bounds), caps);
}
template <template <typename> class Call, Layout kLayout>
double GroupedCost(const Node& node, const SymbolValues& bounds, const proto::DeviceCaps& caps) {
  const auto in = As<Call>(node);
  return ProductsCost(node, kLayout, GroupedMeetings(*in.rows, *in.offsets, bounds), caps);
}
template <Layout kLayout>
double IndexedCost(const Node& node, const SymbolValues& bounds, const proto::DeviceCaps& caps) {
  return ProductsCost(node, kLayout, IndexedMeetings(node, bounds), caps);
}

}  // namespace sluice::cpu
