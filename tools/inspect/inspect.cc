#include "tools/inspect/inspect.h"

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

absl::StatusOr<int64_t> OutputBytes(const Graph& graph) {
  const SymbolValues bounds = graph.Bounds();
  int64_t sum = 0;
  for (const Value* output : graph.outputs()) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, bounds.EvaluateBytes(output->type()));
    sum += bytes;
  }
  return sum;
}

// The largest argument from 1 to `most` at which `needed` is at most `available`; 0 if there is
// none. What is needed grows nearly in proportion to the context (the cache, block tables), so the
// place is looked for where a straight line between the known ends meets `available`, and in the
// middle whenever that has brought little.
absl::StatusOr<int64_t> LargestThatFits(
    const std::function<absl::StatusOr<int64_t>(int64_t)>& needed, int64_t most,
    int64_t available) {
  SLUICE_ASSIGN_OR_RETURN(int64_t needed_at_high, needed(most));
  if (needed_at_high <= available) return most;
  SLUICE_ASSIGN_OR_RETURN(int64_t needed_at_low, needed(1));
  if (needed_at_low > available) return 0;
  int64_t low = 1, high = most;  // fits, does not fit
  for (bool use_line = true; high - low > 1;) {
    const double part = static_cast<double>(available - needed_at_low) /
                        static_cast<double>(needed_at_high - needed_at_low);
    const int64_t length = high - low;
    const int64_t step =
        use_line ? static_cast<int64_t>(part * static_cast<double>(length)) : length / 2;
    const int64_t middle = low + std::clamp<int64_t>(step, 1, length - 1);
    SLUICE_ASSIGN_OR_RETURN(const int64_t there, needed(middle));
    (there <= available ? low : high) = middle;
    (there <= available ? needed_at_low : needed_at_high) = there;
    use_line = high - low <= length / 2;
  }
  return low;
}

}  // namespace

std::vector<FormatUse> TensorFormats(const ModelFiles& files) {
  std::vector<FormatUse> uses;
  for (const auto& file : files) {
    for (const StoredTensor& tensor : file->tensors()) {
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
  for (const ModelFiles* files : {&model.files(), &model.adapters()}) {
    for (const auto& file : *files) {
      for (const StoredTensor& tensor : file->tensors()) count.total += Elements(tensor.shape);
    }
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
  peak.prompt = 0;
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
  double compute = 0;
  for (size_t i = 0; i < kArithmeticCount; ++i) {
    compute += ComputeSeconds(ceiling, {.flops = cost.flops[i]}, static_cast<Arithmetic>(i));
  }
  return 1 / std::max(TransferSeconds(ceiling, cost.total), compute);
}

absl::StatusOr<Inspection> InspectModel(const Model& model, const Backend& backend,
                                        const InspectOptions& options) {
  Inspection result;
  SLUICE_ASSIGN_OR_RETURN(result.plan, PlanModel(model, backend, options.plan));
  for (const BucketPlan& bucket : result.plan.buckets) {
    SLUICE_ASSIGN_OR_RETURN(StepPlacement placement,
                            PlacementOf(bucket.graph, bucket.tokens, backend.kernels()));
    result.placement.push_back(std::move(placement));
  }
  result.parameters = CountParameters(model, result.plan.buckets.front().graph);
  result.formats = TensorFormats(model.files());
  result.prompt = options.peak.prompt;
  result.peak = PredictPeak(model, result.plan, options.peak);
  SLUICE_ASSIGN_OR_RETURN(result.machine, ReadMachineMemory());
  SLUICE_ASSIGN_OR_RETURN(result.fit,
                          FitOf(model, backend, options, result.plan, result.machine.available));
  SLUICE_ASSIGN_OR_RETURN(const std::vector<StepWork> work,
                          backend.Schedule(result.plan.buckets.front().graph));
  result.schedule = ScheduleByLayer(work);
  SLUICE_ASSIGN_OR_RETURN(result.output_bytes, OutputBytes(result.plan.buckets.front().graph));
  if (model.config().encoder.has_value()) return result;
  for (const int64_t length : {int64_t{1}, result.plan.context / 2, result.plan.context}) {
    DecodeCost decode{.length = std::max<int64_t>(length, 1)};
    SLUICE_ASSIGN_OR_RETURN(decode.cost, CostOfStep(result.plan.buckets.front().graph,
                                                    {.length = decode.length}, backend.kernels()));
    result.decode.push_back(std::move(decode));
  }
  return result;
}

}  // namespace sluice
