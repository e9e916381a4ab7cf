#include "tools/analysis/inspect.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "graph/status_macros.h"

namespace sluice {
namespace {

int64_t Elements(absl::Span<const int64_t> shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

// All experts of a layer together: any[E,out,in].
bool IsOfExperts(const Value& weight, int64_t experts) {
  const Shape& shape = weight.type().shape;
  return shape.size() == 3 && shape[0].is_constant() && shape[0].factor() == experts;
}

// The largest argument from 1 to `most` at which `needed` is at most `available`; 0 if there is
// none. What is needed grows in proportion to the context (the cache, block tables, scores of
// attention), and faster where another kernel's scratch memory becomes the largest: it is convex.
// So a chord stays above it, and where the chord meets `available` there is room. A few chords find
// the place.
absl::StatusOr<int64_t> LargestThatFits(
    const std::function<absl::StatusOr<int64_t>(int64_t)>& needed, int64_t most,
    int64_t available) {
  constexpr int kChords = 4;
  SLUICE_ASSIGN_OR_RETURN(const int64_t needed_at_most, needed(most));
  if (needed_at_most <= available) return most;
  int64_t low = 1;
  SLUICE_ASSIGN_OR_RETURN(int64_t needed_at_low, needed(low));
  if (needed_at_low > available) return 0;
  for (int i = 0; i < kChords; ++i) {
    const double slope =
        static_cast<double>(needed_at_most - needed_at_low) / static_cast<double>(most - low);
    const auto chord = static_cast<int64_t>(static_cast<double>(available - needed_at_low) / slope);
    const int64_t step = std::max<int64_t>(chord, 1);
    SLUICE_ASSIGN_OR_RETURN(const int64_t there, needed(low + step));
    if (there > available) break;
    low += step;
    needed_at_low = there;
  }
  return low;
}

}  // namespace

std::vector<FormatUse> TensorFormats(const ModelFiles& files) {
  std::vector<FormatUse> uses;
  for (const auto& file : files) {
    for (const GgufTensor& tensor : file->tensors()) {
      auto use = std::find_if(uses.begin(), uses.end(),
                              [&](const FormatUse& u) { return u.dtype == tensor.dtype; });
      if (use == uses.end()) use = uses.insert(uses.end(), {.dtype = tensor.dtype});
      ++use->tensors;
      use->elements += Elements(tensor.shape);
      use->bytes += tensor.bytes;
    }
  }
  std::stable_sort(uses.begin(), uses.end(),
                   [](const FormatUse& a, const FormatUse& b) { return a.bytes > b.bytes; });
  return uses;
}

ParameterCount CountParameters(const Model& model, const Graph& graph) {
  ParameterCount count;
  for (const auto& file : model.files()) {
    for (const GgufTensor& tensor : file->tensors()) count.total += Elements(tensor.shape);
  }
  count.active = count.total;
  const int64_t experts = model.config().experts;
  if (experts == 0) return count;
  for (const auto& weight : graph.weights()) {
    if (!IsOfExperts(*weight, experts)) continue;
    const int64_t elements = ElementCount(weight->type().shape).value_or(0).factor();
    count.active -= elements / experts * (experts - model.config().experts_used);
  }
  return count;
}

absl::StatusOr<Fit> FitOf(const Model& model, const Backend& backend, const InspectOptions& options,
                          const ModelPlan& plan, int64_t available) {
  PeakOptions peak = options.peak;
  if (peak.tokens == 0) peak.tokens = plan.context;
  Fit fit{.needed = PredictPeak(model, plan, peak).total(), .available = available};
  const int64_t block = options.plan.decoder.block_size;
  const auto needed_at = [&](int64_t blocks) -> absl::StatusOr<int64_t> {
    PlanOptions at = options.plan;
    at.decoder.context = blocks * block;
    SLUICE_ASSIGN_OR_RETURN(const ModelPlan other, PlanModel(model, backend, at));
    return PredictPeak(model, other, peak).total();
  };
  const int64_t most = (model.config().context_length + block - 1) / block;
  SLUICE_ASSIGN_OR_RETURN(const int64_t blocks, LargestThatFits(needed_at, most, available));
  fit.largest_context = std::min(blocks * block, model.config().context_length);
  return fit;
}

double DecodeBound(const StepCost& cost, const Ceiling& ceiling) {
  const double bytes = cost.total.bytes_read + cost.total.bytes_written;
  return 1 / std::max(bytes / ceiling.read_bytes_per_second,
                      cost.total.flops / ceiling.flops_per_second);
}

absl::StatusOr<Inspection> InspectModel(const Model& model, const Backend& backend,
                                        const InspectOptions& options) {
  Inspection result;
  SLUICE_ASSIGN_OR_RETURN(result.plan, PlanModel(model, backend, options.plan));
  result.parameters = CountParameters(model, result.plan.buckets.front().graph);
  result.formats = TensorFormats(model.files());
  result.peak = PredictPeak(model, result.plan, options.peak);
  SLUICE_ASSIGN_OR_RETURN(result.machine, ReadMachineMemory());
  SLUICE_ASSIGN_OR_RETURN(result.fit,
                          FitOf(model, backend, options, result.plan, result.machine.available));
  for (const int64_t length : {int64_t{1}, result.plan.context / 2, result.plan.context}) {
    DecodeCost decode{.length = std::max<int64_t>(length, 1)};
    SLUICE_ASSIGN_OR_RETURN(
        decode.cost, CostOfStep(result.plan.buckets.front().graph, {.length = decode.length}));
    result.decode.push_back(std::move(decode));
  }
  return result;
}

}  // namespace sluice
