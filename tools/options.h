// Options that several subcommands share, and what is made of them.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backends/backend.h"
#include "backends/cpu/cpu_backend.h"
#include "models/model.h"
#include "runtime/answer.h"
#include "runtime/session.h"
#include "tools/analysis/inspect_memory.h"
#include "tools/progress.h"

namespace sluice::tools {

struct ModelOptions {
  std::string path;               // "": the embedded model
  int64_t gqa = 0;                // FileOptions'
  std::vector<std::string> lora;  // adapters, FILE or FILE:SCALE
  void Declare(CLI::App* command);
  // --lora, for commands that build graphs.
  void DeclareLora(CLI::App* command);
  // The file with the metadata, of a split model the first part.
  absl::StatusOr<std::unique_ptr<WeightSource>> OpenFile() const;
  // With the adapters.
  absl::StatusOr<std::unique_ptr<Model>> Load() const;
};

struct BackendOptions {
  std::string name = "cpu";
  int device = -1;  // of Vulkan; -1: the best
  bool no_coopmat = false;
  int threads = 0;
  int64_t gpu_layers = -1;          // Placement's, and the following
  std::vector<std::string> places;  // REGEX=DEVICE
  bool fallback = false;
  void Declare(CLI::App* command);
  // Where something is asked of placement, the device together with the CPU. `on_packed` is
  // CpuOptions' and may be null.
  absl::StatusOr<std::unique_ptr<Backend>> Make(
      std::function<void(const PackEvent&)> on_packed = nullptr) const;
};

struct CacheOptions {
  std::string k_type = "f16", v_type = "f16";
  void Declare(CLI::App* command);
  absl::Status Apply(DecoderOptions* options) const;
};

// What the compiler decides, overridden.
struct CompileOptions {
  std::vector<std::string> disabled;   // passes to leave out
  std::vector<std::string> explained;  // passes that say on stderr what they nearly did
  std::vector<int64_t> buckets;        // of tokens; empty: the usual ones
  int64_t prepack_mib = -1;  // for weights in layouts of their own; -1: what can be spared

  void Declare(CLI::App* command);
  // For graphs of `model`, which outlives them: all but the memory. Errors: an unknown pass.
  absl::StatusOr<PassOptions> Passes(const Model& model) const;
  // Bytes for packed weights beside the states of `graph`. With -1, nine tenths of what is free.
  absl::StatusOr<int64_t> PrepackBytes(const Graph& graph) const;
};

// Shows how far the packing of weights is, and lets go of the file's memory behind it.
class PackProgress {
 public:
  explicit PackProgress(const Model& model) : model_(model) {}
  void OnPacked(const PackEvent& event);

 private:
  const Model& model_;
  int64_t shown_ = 0;
  std::optional<Progress> bar_;
};

// A model on a backend, ready to run steps. Members outlive each other in this order.
struct LoadedSession {
  std::unique_ptr<Model> model;
  std::unique_ptr<PackProgress> packing;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Session> session;
};
struct SessionSetup {
  CompileOptions compile = {};
  int64_t context = 0;       // 0: the model's own
  int64_t max_tokens = 512;  // of a step
  int64_t max_outputs = 1;
  int64_t max_seqs = 1;  // of a step, each with a context of its own
  // Commands without it refuse encoders, which write no text.
  bool takes_encoders = false;
  std::optional<Pooling> pooling = {};  // DecoderOptions'
  RowForm form = RowForm::kWhole;       // of rows that the command's steps will mostly want
};
absl::StatusOr<LoadedSession> OpenSession(const ModelOptions& model, const BackendOptions& backend,
                                          const CacheOptions& cache, const SessionSetup& setup);
absl::StatusOr<LoadedSession> OpenSession(std::unique_ptr<Model> model,
                                          const BackendOptions& backend, const CacheOptions& cache,
                                          const SessionSetup& setup);

// What the plan of such a session depends on, without opening it.
absl::StatusOr<PlanOptions> PlanOf(const Model& model, const CacheOptions& cache,
                                   const SessionSetup& setup);

// --disable-pass and --explain, which may be repeated; "all" explains every pass.
void DeclareDisable(CLI::App* command, std::vector<std::string>* passes);
void DeclareExplain(CLI::App* command, std::vector<std::string>* passes);
// For PassOptions::explain: prints what those passes explain. Errors: an unknown pass.
absl::StatusOr<std::function<void(absl::string_view, const std::string&)>> ExplainTo(
    std::ostream& out, const std::vector<std::string>& passes);

// "1,2,3"; errors name the part that is no number.
absl::StatusOr<std::vector<int32_t>> ParseIds(const std::string& text);

// The whole of a file, "-" for standard input. NotFound with the reason.
absl::StatusOr<std::string> ReadFile(const std::string& path);

void Warn(const std::string& message);  // one line on stderr
// What was odd about a model. Printed once it is known to be usable: a failure stays one line.
void PrintWarnings(const Model& model);

// Speculative decoding: --draft-ngram and --draft-max.
void DeclareDraft(CLI::App* command, DraftOptions* draft);

}  // namespace sluice::tools
