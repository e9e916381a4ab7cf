#include "tools/debug/random_data.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "absl/strings/str_cat.h"
#include "graph/evaluate.h"
#include "graph/formats/quantize.h"
#include "graph/ops/shape_check.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

constexpr ValueRange kAnyInt = {.low = 0, .high = 63};

// A seed for one tensor: FNV-1a over its name.
uint64_t SeedFor(absl::string_view name, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325u ^ seed;
  for (char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

double Uniform(std::mt19937_64& random, double low, double high) {
  return low + (high - low) * static_cast<double>(random() >> 11) * 0x1p-53;
}

void FillFloats(absl::Span<float> data, const ValueRange* range, uint64_t seed) {
  std::mt19937_64 random(seed);
  const double low = range != nullptr ? static_cast<double>(range->low) : -1;
  const double high = range != nullptr ? static_cast<double>(range->high) : 1;
  for (float& value : data) value = static_cast<float>(Uniform(random, low, high));
}

// The beginning of a random order of the range.
absl::Status FillDistinct(absl::Span<int32_t> data, const ValueRange& range, uint64_t seed) {
  std::vector<int32_t> values(static_cast<size_t>(range.high - range.low + 1));
  if (values.size() < data.size()) {
    return absl::InvalidArgumentError(absl::StrCat(data.size(), " different values in ", range.low,
                                                   "..", range.high, " are impossible"));
  }
  std::iota(values.begin(), values.end(), static_cast<int32_t>(range.low));
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < data.size(); ++i) {
    std::swap(values[i], values[i + random() % (values.size() - i)]);
    data[i] = values[i];
  }
  return absl::OkStatus();
}

absl::Status FillInts(absl::Span<int32_t> data, const ValueRange& range, uint64_t seed) {
  if (range.order == ValueRange::Order::kDistinct) return FillDistinct(data, range, seed);
  std::mt19937_64 random(seed);
  const auto count = static_cast<uint64_t>(range.high - range.low + 1);
  for (int32_t& value : data) {
    value = static_cast<int32_t>(range.low + static_cast<int64_t>(random() % count));
  }
  if (range.order == ValueRange::Order::kAscending) {
    std::sort(data.begin(), data.end());
    data.front() = static_cast<int32_t>(range.low);
    data.back() = static_cast<int32_t>(range.high);
  }
  return absl::OkStatus();
}

bool IsUpdated(const Value& state) {
  return std::any_of(state.uses().begin(), state.uses().end(), [](const Use& use) {
    const auto& results = use.node->op().results;
    return std::any_of(results.begin(), results.end(),
                       [&](const ResultDef& r) { return r.aliases == use.operand; });
  });
}

}  // namespace

absl::StatusOr<const RandomData::Bytes*> RandomData::AddSource(const Value& source) {
  SLUICE_ASSIGN_OR_RETURN(const TensorView view, ViewOf(source.type(), sizes_));
  const auto found = ranges_.find(source.name());
  const ValueRange* range = found != ranges_.end() ? &found->second : nullptr;
  auto bytes = std::make_unique<Bytes>(static_cast<size_t>(view.bytes()));
  const auto elements = static_cast<size_t>(view.elements());
  const uint64_t seed = SeedFor(source.name(), seed_);
  const bool is_weight = source.kind() == Value::Kind::kWeight;
  absl::Status status;
  if (view.dtype == DType::kI32) {
    status = FillInts({reinterpret_cast<int32_t*>(bytes->data()), elements},
                      range != nullptr ? *range : kAnyInt, seed);
  } else if (view.dtype == DType::kF32 && (!is_weight || range != nullptr)) {
    FillFloats({reinterpret_cast<float*>(bytes->data()), elements}, range, seed);
  } else {
    const double deviation = 1.0 / std::sqrt(static_cast<double>(view.cols()));
    status =
        FillRandomBlocks(view.dtype, seed, static_cast<float>(deviation), absl::MakeSpan(*bytes));
  }
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat("random data for ", source.ref(), ": ",
                                     source.type().ToString(), ": ", status.message()));
  }
  storage_.push_back(std::move(bytes));
  return storage_.back().get();
}

absl::StatusOr<RandomData> RandomData::Make(const Graph& graph, uint64_t seed,
                                            const ValueRanges& ranges, const SymbolValues& sizes) {
  RandomData data;
  data.seed_ = seed;
  data.sizes_ = graph.Bounds();
  for (const auto& [symbol, size] : sizes.entries()) data.sizes_.Set(symbol, size);
  data.ranges_ = ranges;
  SLUICE_ASSIGN_OR_RETURN(ValueRanges needed, RangesFor(graph, data.sizes_));
  data.ranges_.merge(needed);
  for (const auto& weight : graph.weights()) {
    SLUICE_ASSIGN_OR_RETURN(const Bytes* bytes, data.AddSource(*weight));
    data.weights_[weight->name()] = {*bytes};
  }
  for (const auto& input : graph.inputs()) {
    SLUICE_ASSIGN_OR_RETURN(data.inputs_[input->name()], data.AddSource(*input));
  }
  return data;
}

absl::StatusOr<std::vector<std::unique_ptr<Buffer>>> RandomData::MakeStates(
    Backend& backend, const Graph& graph) const {
  std::vector<std::unique_ptr<Buffer>> states;
  for (const auto& state : graph.states()) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, sizes_.EvaluateBytes(state->type()));
    SLUICE_ASSIGN_OR_RETURN(states.emplace_back(), AllocateState(*state, bytes, backend));
    std::byte* host = states.back()->host();
    if (host == nullptr) continue;  // zeroed
    SLUICE_RETURN_IF_ERROR(FillRandomBlocks(state->type().dtype, SeedFor(state->name(), seed_),
                                            /*scale=*/0.5F, {host, static_cast<size_t>(bytes)}));
  }
  return states;
}

absl::StatusOr<std::vector<std::vector<float>>> RandomData::Run(Backend& backend,
                                                                const Graph& graph,
                                                                RunObserver* observer) const {
  SLUICE_ASSIGN_OR_RETURN(auto executable, backend.Compile(graph.Clone(), weights_));
  SLUICE_ASSIGN_OR_RETURN(const auto buffers, MakeStates(backend, graph));
  RunArgs args{.symbols = sizes_, .observer = observer};
  std::vector<TensorView> inputs;
  for (const auto& input : graph.inputs()) {
    SLUICE_ASSIGN_OR_RETURN(TensorView view, ViewOf(input->type(), args.symbols));
    view.data = const_cast<std::byte*>(inputs_.at(input->name())->data());  // views are not const
    inputs.push_back(view);
  }
  std::vector<Buffer*> states;
  for (const auto& buffer : buffers) states.push_back(buffer.get());
  args.inputs = inputs;
  args.states = states;
  SLUICE_RETURN_IF_ERROR(executable->Run(args));
  std::vector<std::vector<float>> values;
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    SLUICE_ASSIGN_OR_RETURN(const TensorView view, executable->output(i));
    values.push_back(ValuesOf(view));
  }
  for (size_t i = 0; i < states.size(); ++i) {
    if (!IsUpdated(*graph.states()[i]) || states[i]->host() == nullptr) continue;
    SLUICE_ASSIGN_OR_RETURN(TensorView view, ViewOf(graph.states()[i]->type(), args.symbols));
    view.data = states[i]->host();
    values.push_back(ValuesOf(view));
  }
  return values;
}

double Nmse(const std::vector<std::vector<float>>& expected,
            const std::vector<std::vector<float>>& got) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double error = 0, power = 0;
  if (expected.size() != got.size()) return kInfinity;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (expected[i].size() != got[i].size()) return kInfinity;
    for (size_t j = 0; j < expected[i].size(); ++j) {
      const double a = expected[i][j], b = got[i][j];
      if (a == b) {
        power += a * a;
        continue;
      }
      if (!std::isfinite(a) || !std::isfinite(b)) return kInfinity;
      error += (a - b) * (a - b);
      power += a * a;
    }
  }
  return error == 0 ? 0 : error / power;
}

std::vector<float> ValuesOf(const TensorView& view) {
  std::vector<float> values;
  values.reserve(static_cast<size_t>(view.elements()));
  if (view.dtype == DType::kI32) {
    values.assign(view.i32(), view.i32() + view.elements());
    return values;
  }
  RowReader reader(view);
  for (int64_t row = 0; row < view.rows(); ++row) {
    const float* begin = reader.Row(row);
    values.insert(values.end(), begin, begin + view.cols());
  }
  return values;
}

}  // namespace sluice
