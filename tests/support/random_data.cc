#include "tests/support/random_data.h"

#include <cmath>
#include <limits>
#include <random>

#include "absl/strings/str_cat.h"
#include "graph/evaluate.h"
#include "graph/formats/quantize.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

// A seed for one tensor: FNV-1a over its name.
uint64_t SeedFor(absl::string_view name, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325u ^ seed;
  for (char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

void FillFloats(float* data, int64_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (int64_t i = 0; i < n; ++i) {
    data[i] = static_cast<float>(static_cast<double>(random() >> 11) * 0x1p-52 - 1.0);
  }
}

}  // namespace

absl::Status RandomData::AddInput(const Value& input, const SymbolValues& symbols,
                                  const IntRanges& ranges) {
  SLUICE_ASSIGN_OR_RETURN(const TensorView view, ViewOf(input.type(), symbols));
  auto tensor = std::make_unique<Tensor>();
  tensor->bytes.resize(static_cast<size_t>(view.bytes()));
  const uint64_t seed = SeedFor(input.name(), seed_);
  if (view.dtype == DType::kF32) {
    FillFloats(reinterpret_cast<float*>(tensor->bytes.data()), view.elements(), seed);
  } else if (view.dtype == DType::kI32) {
    auto range = ranges.find(input.name());
    const auto [low, high] = range != ranges.end() ? range->second : std::pair(0, 0);
    std::mt19937_64 random(seed);
    auto* ints = reinterpret_cast<int32_t*>(tensor->bytes.data());
    for (int64_t i = 0; i < view.elements(); ++i) {
      ints[i] = low + static_cast<int32_t>(random() % static_cast<uint64_t>(high - low + 1));
    }
  } else {
    return absl::UnimplementedError(absl::StrCat("random input of type ", input.type().ToString()));
  }
  inputs_[input.name()] = tensor.get();
  storage_.push_back(std::move(tensor));
  return absl::OkStatus();
}

absl::StatusOr<RandomData> RandomData::Make(const Graph& graph, uint64_t seed,
                                            const IntRanges& ranges) {
  RandomData data;
  data.seed_ = seed;
  for (const auto& weight : graph.weights()) {
    SLUICE_ASSIGN_OR_RETURN(const TensorView view, ViewOf(weight->type(), {}));
    auto tensor = std::make_unique<Tensor>();
    const double deviation = 1.0 / std::sqrt(static_cast<double>(view.cols()));
    SLUICE_ASSIGN_OR_RETURN(tensor->bytes,
                            RandomBlocks(view.dtype, view.elements(), SeedFor(weight->name(), seed),
                                         static_cast<float>(deviation)));
    data.weights_[weight->name()] = {tensor->bytes};
    data.storage_.push_back(std::move(tensor));
  }
  for (const auto& input : graph.inputs()) {
    SLUICE_RETURN_IF_ERROR(data.AddInput(*input, graph.Bounds(), ranges));
  }
  return data;
}

absl::StatusOr<std::vector<std::vector<float>>> RandomData::Run(Backend& backend,
                                                                const Graph& graph,
                                                                RunObserver* observer) const {
  SLUICE_ASSIGN_OR_RETURN(auto executable, backend.Compile(graph.Clone(), weights_));
  RunArgs args;
  args.symbols = graph.Bounds();
  args.observer = observer;
  std::vector<TensorView> inputs;
  for (const auto& input : graph.inputs()) {
    SLUICE_ASSIGN_OR_RETURN(TensorView view, ViewOf(input->type(), args.symbols));
    view.data = inputs_.at(input->name())->bytes.data();
    inputs.push_back(view);
  }
  std::vector<std::unique_ptr<Buffer>> buffers;
  std::vector<Buffer*> states;
  for (const auto& state : graph.states()) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, args.symbols.EvaluateBytes(state->type()));
    SLUICE_ASSIGN_OR_RETURN(auto buffer, backend.Allocate(bytes));
    states.push_back(buffer.get());
    buffers.push_back(std::move(buffer));
  }
  args.inputs = inputs;
  args.states = states;
  SLUICE_RETURN_IF_ERROR(executable->Run(args));
  std::vector<std::vector<float>> outputs;
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    const TensorView view = executable->output(i);
    auto& values = outputs.emplace_back();
    for (int64_t j = 0; j < view.elements(); ++j) {
      values.push_back(view.dtype == DType::kI32 ? static_cast<float>(view.i32()[j])
                                                 : view.f32()[j]);
    }
  }
  return outputs;
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

}  // namespace sluice
