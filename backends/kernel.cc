#include "backends/kernel.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sluice {

absl::Status AcceptsAll(const Node&, const proto::DeviceCaps&) { return absl::OkStatus(); }

std::vector<const Kernel*> KernelSet::ForOp(absl::string_view op) const {
  std::vector<const Kernel*> found;
  for (const Kernel& kernel : kernels_) {
    if (kernel.op == op) found.push_back(&kernel);
  }
  return found;
}

const Kernel* KernelSet::Find(absl::string_view name) const {
  for (const Kernel& kernel : kernels_) {
    if (kernel.name == name) return &kernel;
  }
  return nullptr;
}

const WeightLayout* KernelSet::FindLayout(absl::string_view name) const {
  for (const WeightLayout& layout : layouts_) {
    if (layout.name == name) return &layout;
  }
  return nullptr;
}

bool IsPackable(const OpDef& op, size_t operand) {
  return operand < op.operands.size() && op.operands[operand].repackable;
}

std::string LayoutFault(const Node& node, const Kernel& kernel) {
  const auto describe = [](const std::string& layout) {
    return layout.empty() ? std::string("the file's layout") : absl::StrCat("the layout ", layout);
  };
  for (size_t i = 0; i < node.operands().size(); ++i) {
    const Value* operand = node.operand(i);
    if (operand == nullptr || !IsPackable(node.op(), i) || operand->layout() == kernel.layout) {
      continue;
    }
    return absl::StrCat(operand->ref(), " has ", describe(operand->layout()), ", expected ",
                        describe(kernel.layout));
  }
  return "";
}

bool IsSame(const Node& node, const NodeSpec& spec) {
  return node.op().name == spec.op && node.attrs() == spec.attrs &&
         std::equal(node.operands().begin(), node.operands().end(), spec.operands.begin(),
                    spec.operands.end());
}

std::string DerivedFault(const Node& node, const Kernel& kernel) {
  if (!kernel.derived.has_value()) return "";
  const Value* operand = node.operand(kernel.derived->operand);
  const NodeSpec spec = kernel.derived->make(node);
  if (operand != nullptr && operand->producer() != nullptr && operand->result_index() == 0 &&
      IsSame(*operand->producer(), spec)) {
    return "";
  }
  return absl::StrCat("its kernel needs the operand ",
                      node.op().operands[kernel.derived->operand].name, " from ", spec.op, "(",
                      spec.operands.front()->ref(), ") ", spec.attrs.ToString());
}

}  // namespace sluice
