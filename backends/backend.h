// What a backend is: capabilities and kernels to compile for, memory, and executables.
//
// Nothing here knows an op. A graph is lowered once, by Compile, and run many times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "backends/kernel.h"
#include "graph/graph.h"
#include "graph/tensor.h"
#include "graph/weights.h"
#include "proto/device.pb.h"

namespace sluice {

// Device memory that outlives a step, e.g. a KV cache. Zeroed when allocated.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual int64_t bytes() const = 0;
  virtual std::byte* host() = 0;  // nullptr where the host cannot address it
};

// Sees every node as it has been run: for profiles, comparisons and the search for NaNs.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  // False: only times matter. The backend may then run the step as it does when nobody looks, and
  // tell of its nodes afterwards, in their order and without views.
  virtual bool needs_values() const { return true; }
  // Views are valid during the call. Absent operands are not present().
  virtual void OnNode(const Node& node, absl::Span<const TensorView> operands,
                      absl::Span<const TensorView> results, double seconds) = 0;
};

struct RunArgs {
  SymbolValues symbols;                 // actual sizes, each at most the bound compiled for
  absl::Span<const TensorView> inputs;  // host memory, in the order of graph().inputs()
  absl::Span<Buffer* const> states;     // in the order of graph().states()
  RunObserver* observer = nullptr;
  // Part of a step, whose nodes on other devices run between the calls. Parts come in order, from
  // the first node to the last, with the same sizes and states. An input needs data when the nodes
  // that read it run, an output has data once its node has run.
  NodeRange nodes = {};
};

// Bytes by class, as planned when compiled.
struct MemoryUse {
  int64_t weights = 0;  // used in place, where the model file is mapped
  int64_t packed = 0;   // weights in a layout of their own, shared by the executables of a backend
  int64_t constants = 0;  // results of nodes that run once
  int64_t arena = 0;      // activations and the kernels' working memory
};

// What a step has a device do for one node, where the backend hands it whole steps.
struct StepWork {
  const Node* node = nullptr;  // nullptr: the inputs
  int64_t dispatches = 0, copies = 0;
  int64_t barriers = 0;  // where the device finishes what it has begun before it goes on
};

// A lowered graph. Not thread-safe: one Run at a time.
class Executable {
 public:
  virtual ~Executable() = default;
  virtual const Graph& graph() const = 0;
  virtual MemoryUse memory() const = 0;

  // Errors: arguments that do not fit the graph, and what only data can show (a token id out of
  // range, a NaN in a router); they name the node.
  virtual absl::Status Run(const RunArgs& args) = 0;

  // The graph's i-th output, in host memory, valid until the next Run. Errors: the graph has no
  // such output, or no Run has given it data.
  absl::StatusOr<TensorView> output(size_t i) const;

 private:
  // Of an output that there is; absent before it has data.
  virtual TensorView OutputView(size_t i) const = 0;
};

struct Placement;

class Backend {
 public:
  virtual ~Backend() = default;
  virtual absl::string_view name() const = 0;
  virtual const proto::DeviceCaps& caps() const = 0;

  // Kernels for select_kernels. nullptr: the backend runs every op as it is (the reference).
  virtual const KernelSet* kernels() const = 0;

  // The backends that it consists of, and which nodes go to which; nullptr: it is one.
  virtual const Placement* placement() const { return nullptr; }

  virtual absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t bytes) = 0;

  // What Compile would have the device do, in order; nodes of `graph`. Needs no weight and compiles
  // no kernel. Empty: the host calls kernels itself.
  virtual absl::StatusOr<std::vector<StepWork>> Schedule(const Graph& /*graph*/) const {
    return std::vector<StepWork>{};
  }

  // `graph` has been through the passes for this backend. `weights` has every weight of the graph
  // and, like the backend, outlives the executable. Errors name the node or weight.
  virtual absl::StatusOr<std::unique_ptr<Executable>> Compile(Graph graph,
                                                              const WeightTable& weights) = 0;
};

// Allocates a state of the graph on the device that uses it.
absl::StatusOr<std::unique_ptr<Buffer>> AllocateState(const Value& state, int64_t bytes,
                                                      Backend& backend);

// Checks of Run and Compile that are the same for every backend. Errors name the input, state,
// symbol or weight, with sizes got and expected. The pointers to a weight's pieces, if it has
// several, are kept in `slice_storage`, which the view refers to.
absl::Status CheckRunArgs(const Graph& graph, const RunArgs& args);
absl::StatusOr<TensorView> BindWeight(const Value& weight, const WeightTable& table,
                                      std::vector<const std::byte*>* slice_storage);
// `status` with the node's name and op in front of its message.
absl::Status AtNode(const Node& node, const absl::Status& status);

}  // namespace sluice
