#include "backends/kernel.h"

#include "absl/strings/match.h"
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
  return operand < op.operands.size() && absl::StartsWith(op.operands[operand].doc, "any[");
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

}  // namespace sluice
