#include "backends/compiled_rules.h"

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "graph/nearest_name.h"
#include "graph/status_macros.h"
#include "graph/text.h"
#include "graph/verifier.h"

namespace sluice {
namespace {

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
    if (layout == nullptr) {
      return broken(absl::StrCat("which ", caps_.backend(), " does not have",
                                 DidYouMean(weight.layout(), NamesOf(kernels_.layouts()))));
    }
    const absl::Status status = layout->accepts(weight.type());
    return status.ok() ? status : broken(absl::StrCat("which refuses: ", status.message()));
  }

  absl::Status CheckNode(const Node& node) const {
    SLUICE_RETURN_IF_ERROR(CheckKernel(node));
    for (const auto& result : node.results()) SLUICE_RETURN_IF_ERROR(CheckPlace(*result));
    if (!node.scratch().has_value()) return absl::OkStatus();
    if (node.scratch()->region != "act") {
      return Broken("C5 (scratch memory suffices)", node, "its scratch memory is in '",
                    node.scratch()->region, "', expected act");
    }
    return CheckAlignment(node, *node.scratch());
  }

  // C6, of nodes that obey the other rules.
  absl::Status CheckEnds(const Graph& graph) const {
    absl::flat_hash_map<absl::string_view, int64_t> sizes;  // of regions
    for (const auto& node : graph.nodes()) {
      for (const auto& result : node->results()) {
        if (!result->mem().has_value() || node->op().is_view) continue;
        SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, bounds_.EvaluateBytes(result->type()));
        sizes[result->mem()->region] += AlignPlace(bytes);
      }
      SLUICE_ASSIGN_OR_RETURN(const int64_t scratch, ScratchBytes(*node));
      sizes["act"] += AlignPlace(scratch);
    }
    for (const auto& node : graph.nodes()) {
      for (const auto& result : node->results()) {
        if (!result->mem().has_value()) continue;
        SLUICE_RETURN_IF_ERROR(
            CheckEnd(*node, result->ref(), *result->mem(), sizes[result->mem()->region]));
      }
      if (!node->scratch().has_value()) continue;
      SLUICE_RETURN_IF_ERROR(CheckEnd(*node, "its scratch memory", *node->scratch(), sizes["act"]));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status CheckKernel(const Node& node) const {
    constexpr absl::string_view kRule = "C1 (kernels fit)";
    if (node.op().is_view) {
      if (node.kernel().empty()) return absl::OkStatus();
      return Broken(kRule, node, "has the kernel '", node.kernel(), "', but a view needs none");
    }
    const Kernel* kernel = kernels_.Find(node.kernel());
    if (node.kernel().empty()) return Broken(kRule, node, "has no kernel; run select_kernels");
    if (kernel == nullptr || kernel->op != node.op().name) {
      return Broken(kRule, node, "has the kernel '", node.kernel(), "', but ", caps_.backend(),
                    " has none of that name for '", node.op().name, "'; run select_kernels",
                    DidYouMean(node.kernel(), NamesOf(kernels_.ForOp(node.op().name))));
    }
    const absl::Status status = kernel->accepts(node, caps_);
    if (!status.ok()) return Broken(kRule, node, "its kernel refuses: ", status.message());
    const std::string fault = LayoutFault(node, *kernel);
    if (!fault.empty()) return Broken("C2 (layouts fit)", node, fault);
    const std::string derived_fault = DerivedFault(node, *kernel);
    if (!derived_fault.empty()) {
      return Broken("C7 (derived operands are there)", node, derived_fault,
                    "; run derive_operands");
    }
    const absl::StatusOr<int64_t> wanted = ScratchBytes(node);
    if (!wanted.ok()) return Broken(kRule, node, wanted.status().message());
    const int64_t planned = node.scratch().has_value() ? node.scratch()->bytes : 0;
    if (*wanted <= planned) return absl::OkStatus();
    return Broken("C5 (scratch memory suffices)", node, "its kernel needs ", *wanted,
                  " bytes of scratch memory, the plan has ", planned, "; run plan_memory");
  }

  // What the node's kernel needs.
  absl::StatusOr<int64_t> ScratchBytes(const Node& node) const {
    const Kernel* kernel = kernels_.Find(node.kernel());
    if (kernel == nullptr || kernel->scratch == nullptr) return 0;
    return kernel->scratch(node, bounds_, caps_);
  }

  static absl::Status CheckEnd(const Node& node, absl::string_view what, const MemSpan& span,
                               int64_t most) {
    if (span.bytes <= most && span.offset <= most - span.bytes) return absl::OkStatus();
    return Broken("C6 (places are close together)", node, what, " has ", span.bytes, " bytes at ",
                  span.region, "+0x", absl::Hex(span.offset), ", but all of ", span.region,
                  " takes ", most, " bytes one after the other; run plan_memory");
  }

  // Whether the value's bytes are those of an input, a weight or a state.
  static bool IsOfSource(const Value& value) {
    const Value* viewed = &value;
    while (viewed->producer() != nullptr && viewed->producer()->op().is_view) {
      viewed = viewed->producer()->source();
    }
    return viewed->producer() == nullptr || viewed->type().is_state;
  }

  static absl::Status CheckPlace(const Value& value) {
    const Node& node = *value.producer();
    constexpr absl::string_view kRule = "C3 (results have places)";
    if (IsOfSource(value)) {
      if (!value.mem().has_value()) return absl::OkStatus();
      return Broken(kRule, node, value.ref(), " is placed in '", value.mem()->region,
                    "', expected none: what it is of has memory of its own");
    }
    if (!value.mem().has_value()) {
      return Broken(kRule, node, value.ref(), " has no place in memory; run plan_memory");
    }
    const Value* home = &value;
    while (home->producer()->op().is_view) home = home->producer()->source();
    const absl::string_view wanted = home->producer()->once() ? "const" : "act";
    if (value.mem()->region != wanted) {
      return Broken(kRule, node, value.ref(), " is placed in '", value.mem()->region,
                    "', expected ", wanted);
    }
    return CheckAlignment(node, *value.mem());
  }

  static absl::Status CheckAlignment(const Node& node, const MemSpan& span) {
    if (span.offset % kPlaceAlignment == 0) return absl::OkStatus();
    return Broken("C4 (places are aligned)", node, "a place begins at ", span.offset,
                  ", expected a multiple of ", kPlaceAlignment);
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
  return checker.CheckEnds(graph);
}

}  // namespace sluice
