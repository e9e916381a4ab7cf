#include "backends/compiled_rules.h"

#include "absl/strings/str_cat.h"
#include "graph/status_macros.h"
#include "graph/text.h"

namespace sluice {
namespace {

constexpr int64_t kAlignment = 64;

template <typename... What>
absl::Status Broken(absl::string_view rule, const Node& node, const What&... what) {
  return absl::InvalidArgumentError(absl::StrCat("rule ", rule, ": ", Print(node), ": ", what...));
}

class Checker {
 public:
  Checker(const Graph& graph, const KernelSet& kernels, const proto::DeviceCaps& caps)
      : kernels_(kernels), caps_(caps), bounds_(graph.Bounds()) {}

  static absl::Status CheckSource(const Value& source) {
    if (!source.mem().has_value()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("rule C3 (results have places): ", source.ref(),
                                                   " is placed in '", source.mem()->region,
                                                   "', expected none: it has memory of its own"));
  }

  absl::Status CheckWeight(const Value& weight) const {
    if (weight.layout().empty()) return absl::OkStatus();
    const auto broken = [&](absl::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat("rule C2 (layouts fit): ", weight.ref(),
                                                     " has the layout '", weight.layout(), "', ",
                                                     what));
    };
    const WeightLayout* layout = kernels_.FindLayout(weight.layout());
    if (layout == nullptr) return broken(absl::StrCat("which ", caps_.backend(), " does not have"));
    const absl::Status status = layout->accepts(weight.type());
    return status.ok() ? status : broken(absl::StrCat("which refuses: ", status.message()));
  }

  absl::Status CheckNode(const Node& node) const {
    SLUICE_RETURN_IF_ERROR(CheckKernel(node));
    for (const auto& result : node.results()) SLUICE_RETURN_IF_ERROR(CheckPlace(*result));
    if (node.scratch().has_value()) return CheckAlignment(node, *node.scratch());
    return absl::OkStatus();
  }

 private:
  absl::Status CheckKernel(const Node& node) const {
    if (node.op().is_view) return absl::OkStatus();
    constexpr absl::string_view kRule = "C1 (kernels fit)";
    const Kernel* kernel = kernels_.Find(node.kernel());
    if (node.kernel().empty()) return Broken(kRule, node, "has no kernel; run select_kernels");
    if (kernel == nullptr || kernel->op != node.op().name) {
      return Broken(kRule, node, "has the kernel '", node.kernel(), "', but ", caps_.backend(),
                    " has none of that name for '", node.op().name, "'; run select_kernels");
    }
    const absl::Status status = kernel->accepts(node, caps_);
    if (!status.ok()) return Broken(kRule, node, "its kernel refuses: ", status.message());
    const std::string fault = LayoutFault(node, *kernel);
    if (!fault.empty()) return Broken("C2 (layouts fit)", node, fault);
    return CheckScratch(node, *kernel);
  }

  absl::Status CheckScratch(const Node& node, const Kernel& kernel) const {
    if (kernel.scratch == nullptr) return absl::OkStatus();
    constexpr absl::string_view kRule = "C5 (scratch memory suffices)";
    const absl::StatusOr<int64_t> wanted = kernel.scratch(node, bounds_, caps_);
    if (!wanted.ok()) return Broken("C1 (kernels fit)", node, wanted.status().message());
    const bool is_placed = node.scratch().has_value();
    const int64_t planned = is_placed ? node.scratch()->bytes : 0;
    if (*wanted > planned) {
      return Broken(kRule, node, "its kernel needs ", *wanted,
                    " bytes of scratch memory, the plan has ", planned, "; run plan_memory");
    }
    if (is_placed && node.scratch()->region != "act") {
      return Broken(kRule, node, "its scratch memory is in '", node.scratch()->region,
                    "', expected act");
    }
    return absl::OkStatus();
  }

  // Whether the value's bytes are those of an input or a weight.
  static bool IsViewOfSource(const Value& value) {
    const Value* viewed = &value;
    while (viewed->producer() != nullptr && viewed->producer()->op().is_view) {
      viewed = viewed->producer()->operand(0);
    }
    return viewed->producer() == nullptr;
  }

  static absl::Status CheckPlace(const Value& value) {
    if (value.type().is_state || IsViewOfSource(value)) return absl::OkStatus();
    const Node& node = *value.producer();
    constexpr absl::string_view kRule = "C3 (results have places)";
    if (!value.mem().has_value()) {
      return Broken(kRule, node, value.ref(), " has no place in memory; run plan_memory");
    }
    const Value* home = &value;
    while (home->producer()->op().is_view) home = home->producer()->operand(0);
    const absl::string_view wanted = home->producer()->once() ? "const" : "act";
    if (value.mem()->region != wanted) {
      return Broken(kRule, node, value.ref(), " is placed in '", value.mem()->region,
                    "', expected ", wanted);
    }
    return CheckAlignment(node, *value.mem());
  }

  static absl::Status CheckAlignment(const Node& node, const MemSpan& span) {
    if (span.offset % kAlignment == 0) return absl::OkStatus();
    return Broken("C4 (places are aligned)", node, "a place begins at ", span.offset,
                  ", expected a multiple of ", kAlignment);
  }

  const KernelSet& kernels_;
  const proto::DeviceCaps& caps_;
  const SymbolValues bounds_;
};

}  // namespace

absl::Status VerifyCompiled(const Graph& graph, const KernelSet& kernels,
                            const proto::DeviceCaps& caps) {
  const Checker checker(graph, kernels, caps);
  for (const auto sources : {graph.inputs(), graph.weights(), graph.states()}) {
    for (const auto& source : sources) SLUICE_RETURN_IF_ERROR(Checker::CheckSource(*source));
  }
  for (const auto& weight : graph.weights()) SLUICE_RETURN_IF_ERROR(checker.CheckWeight(*weight));
  for (const auto& node : graph.nodes()) SLUICE_RETURN_IF_ERROR(checker.CheckNode(*node));
  return absl::OkStatus();
}

}  // namespace sluice
