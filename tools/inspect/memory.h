// What a model will take of memory on a backend: the exact plan of every executable, and the peak
// of the process that is expected from it. Nothing is run, and no weight is read.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "backends/backend.h"
#include "graph/graph.h"
#include "models/model.h"
#include "passes/memory_plan.h"
#include "passes/pass_manager.h"
#include "runtime/logit_rows.h"

namespace sluice {

struct BucketPlan {
  int64_t tokens = 0;  // of a step, at most
  Graph graph;         // as it will run
  MemoryPlan memory;
};

struct PlanOptions {
  DecoderOptions decoder = {};
  int64_t max_outputs = 1;  // as in SessionOptions, and the following
  std::vector<int64_t> buckets = {};
  int64_t prepack_bytes = 0;
  PassOptions passes = {};
  RowForm form = RowForm::kWhole;  // for which steps are planned; as in Session::ExecutableFor
};

struct ModelPlan {
  int64_t context = 0;      // tokens of a sequence, rounded up to whole cache blocks
  int64_t block_size = 1;   // tokens of a cache block
  int64_t max_tokens = 0;   // of a step
  int64_t cache_bytes = 0;  // keys and values of all layers
  double cache_bytes_per_token = 0;
  int64_t packed_bytes = 0;         // weights in other layouts, of all executables together
  std::vector<BucketPlan> buckets;  // by rising number of tokens; never empty
};

// The executables that a session with these options may compile.
absl::StatusOr<ModelPlan> PlanModel(const Model& model, const Backend& backend,
                                    const PlanOptions& options);

// Bytes that are resident when most are, by what they are for. What the program itself takes before
// a model is opened is not among them.
struct PeakMemory {
  int64_t weights = 0;     // mapped pages that steps touch
  int64_t packed = 0;      // weights in another layout, whose pages of the file are let go
  int64_t cache = 0;       // of the tokens that are in the context
  int64_t arenas = 0;      // of the executables that run, constants included
  int64_t metadata = 0;    // the file's head, mapped: names, vocabulary
  int64_t vocabulary = 0;  // the tokenizer's own tables
  int64_t compiled = 0;    // graphs and executables
  int64_t libraries = 0;   // of the backend: generated code, buffers, thread stacks

  int64_t total() const;
};

// The fields of PeakMemory and their names, for reports.
struct PeakField {
  absl::string_view name;
  int64_t PeakMemory::*field;
};
absl::Span<const PeakField> PeakFields();

struct PeakOptions {
  // Tokens in the context: a prompt, in steps as large as the plan allows, that little is generated
  // after. 0: prompts of all lengths, and a context that fills up.
  int64_t prompt = 0;
  int64_t tokens = 0;     // rows of the embedding table that are read; 0: as many as a context has
  bool tokenizer = true;  // text goes in and out, and not only token ids
};

// Assumes one sequence, and a prompt long enough that every expert is used.
PeakMemory PredictPeak(const Model& model, const ModelPlan& plan, const PeakOptions& options);

}  // namespace sluice
