// A model in figures, without running it: what it holds, what a step costs, what it needs.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "graph/dtype.h"
#include "models/model.h"
#include "runtime/machine_memory.h"
#include "tools/inspect/memory.h"
#include "tools/inspect/placement.h"
#include "tools/inspect/schedule.h"
#include "tools/machine/ceilings.h"
#include "tools/profile/cost.h"

namespace sluice {

struct FormatUse {
  DType dtype = DType::kF32;
  int64_t tensors = 0, elements = 0, bytes = 0;
};
// The tensors of all files by format, most bytes first.
std::vector<FormatUse> TensorFormats(const ModelFiles& files);

struct ParameterCount {
  int64_t total = 0;   // elements of all tensors
  int64_t active = 0;  // without the experts that a token does not use
};
// Of the weights of the model's graph, and of tensors that it does not use.
ParameterCount CountParameters(const Model& model, const Graph& graph);

// A decode step of one sequence with so many tokens in it, its own included.
struct DecodeCost {
  int64_t length = 0;
  StepCost cost;
};

// Whether the peak of a full context fits into what is available, and how far it could go.
struct Fit {
  int64_t needed = 0, available = 0;
  // The longest context with which it would fit, a multiple of the block size and at most the
  // model's own; 0: none does.
  int64_t largest_context = 0;
  bool fits() const { return needed <= available; }
};

struct InspectOptions {
  PlanOptions plan;
  PeakOptions peak = {};
};

// `plan` is that of `options`. Errors: those of PlanModel.
absl::StatusOr<Fit> FitOf(const Model& model, const Backend& backend, const InspectOptions& options,
                          const ModelPlan& plan, int64_t available);

struct Inspection {
  ParameterCount parameters;
  std::vector<FormatUse> formats;
  ModelPlan plan;
  std::vector<StepPlacement> placement;  // one for each bucket
  int64_t prompt = 0;                    // tokens that `peak` is for; 0: a full context
  PeakMemory peak;
  MachineMemory machine;
  Fit fit;
  // Of the smallest bucket; empty where the host calls kernels.
  StepSchedule schedule;
  int64_t output_bytes = 0;        // that such a step gives, at most; they are copied to the host
  std::vector<DecodeCost> decode;  // of an empty, a half and a full context; none of an encoder
};

// Reads metadata only, whatever the size of the model. Errors: options that do not fit the model, a
// node that no kernel takes, a machine that does not tell its memory.
absl::StatusOr<Inspection> InspectModel(const Model& model, const Backend& backend,
                                        const InspectOptions& options);

// Tokens per second that a decode step cannot exceed: its bytes at the rate of so many bytes that
// are gone over again and again, or its operations, each at the ceiling of its kernel's arithmetic.
double DecodeBound(const StepCost& cost, const Ceiling& ceiling);

}  // namespace sluice
