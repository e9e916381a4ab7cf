#include "backends/backend.h"

#include "absl/strings/str_cat.h"
#include "backends/placement.h"
#include "graph/evaluate.h"
#include "graph/status_macros.h"

namespace sluice {
namespace {

absl::Status CheckSymbols(const Graph& graph, const SymbolValues& symbols) {
  for (const SymbolDef& symbol : graph.symbols()) {
    const int64_t value = symbols.Get(symbol.name);
    if (value < 1 || value > symbol.bound) {
      return absl::InvalidArgumentError(
          absl::StrCat("symbol '", symbol.name, "' is ", value, ", expected 1 to ", symbol.bound));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TensorView> Executable::output(size_t i) const {
  const auto outputs = graph().outputs();
  if (i >= outputs.size()) {
    return absl::OutOfRangeError(absl::StrCat("the graph '", graph().name(), "' has ",
                                              outputs.size(), " outputs, expected one with the ",
                                              "index ", i, " (GraphBuilder::Output adds one)"));
  }
  TensorView view = OutputView(i);
  if (view.present()) return view;
  return absl::FailedPreconditionError(
      absl::StrCat("output ", outputs[i]->ref(), " has no data: expected a Run before"));
}

absl::StatusOr<std::unique_ptr<Buffer>> AllocateState(const Value& state, int64_t bytes,
                                                      Backend& backend) {
  const Placement* placement = backend.placement();
  if (placement == nullptr || state.uses().empty()) return backend.Allocate(bytes);
  const std::string& device = state.uses()[0].node->device();
  Backend* owner = placement->Find(device);
  if (owner != nullptr) return owner->Allocate(bytes);
  return absl::InvalidArgumentError(
      absl::StrCat("state ", state.ref(), " is on '", device, "', which is no device here"));
}

absl::Status AtNode(const Node& node, const absl::Status& status) {
  return absl::Status(
      status.code(), absl::StrCat("%", node.name(), " (", node.op().name, "): ", status.message()));
}

absl::Status CheckRunArgs(const Graph& graph, const RunArgs& args) {
  SLUICE_RETURN_IF_ERROR(CheckSymbols(graph, args.symbols));
  if (args.inputs.size() != graph.inputs().size() || args.states.size() != graph.states().size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "got ", args.inputs.size(), " inputs and ", args.states.size(), " states, the graph has ",
        graph.inputs().size(), " and ", graph.states().size()));
  }
  const bool is_part = args.nodes.begin > 0 || args.nodes.end < graph.nodes().size();
  for (size_t i = 0; i < args.inputs.size(); ++i) {
    const Value& input = *graph.inputs()[i];
    SLUICE_ASSIGN_OR_RETURN(const TensorView expected, ViewOf(input.type(), args.symbols));
    const TensorView& got = args.inputs[i];
    if (got.data == nullptr && is_part) continue;  // comes with a later part
    if (got.data == nullptr || got.dtype != expected.dtype || got.dims != expected.dims) {
      return absl::InvalidArgumentError(absl::StrCat(
          "input ", input.ref(), " is ", got.data != nullptr ? TypeOf(got).ToString() : "absent",
          ", expected ", TypeOf(expected).ToString()));
    }
  }
  for (size_t i = 0; i < args.states.size(); ++i) {
    const Value& state = *graph.states()[i];
    SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, args.symbols.EvaluateBytes(state.type()));
    if (args.states[i] == nullptr || args.states[i]->bytes() < bytes) {
      return absl::InvalidArgumentError(absl::StrCat("state ", state.ref(), " has ",
                                                     args.states[i] ? args.states[i]->bytes() : 0,
                                                     " bytes, expected ", bytes));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorView> BindWeight(const Value& weight, const WeightTable& table,
                                      std::vector<const std::byte*>* slice_storage) {
  auto it = table.find(weight.name());
  if (it == table.end() || it->second.empty()) {
    return absl::NotFoundError(absl::StrCat("weight ", weight.ref(), " has no data"));
  }
  SLUICE_ASSIGN_OR_RETURN(TensorView view, ViewOf(weight.type(), {}));
  const WeightPieces& pieces = it->second;
  const size_t expected_pieces = static_cast<size_t>(view.dims.empty() ? 1 : view.dims.front());
  if (pieces.size() != 1 && pieces.size() != expected_pieces) {
    return absl::InvalidArgumentError(absl::StrCat("weight ", weight.ref(), " comes in ",
                                                   pieces.size(), " pieces, expected 1 or ",
                                                   expected_pieces));
  }
  const size_t piece_bytes = static_cast<size_t>(view.bytes()) / pieces.size();
  for (const auto& piece : pieces) {
    if (piece.size() != piece_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("weight ", weight.ref(), " : ", weight.type().ToString(), " has a piece of ",
                       piece.size(), " bytes, expected ", piece_bytes));
    }
  }
  if (pieces.size() == 1) {
    // Weights are never written; views are shared with results, which are.
    view.data = const_cast<std::byte*>(pieces[0].data());
    return view;
  }
  slice_storage->clear();
  for (const auto& piece : pieces) slice_storage->push_back(piece.data());
  view.slices = *slice_storage;
  return view;
}

}  // namespace sluice
