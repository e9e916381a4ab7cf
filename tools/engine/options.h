// What a session is made of, as people choose it: a model, a device, a cache, what the compiler is
// told. Values only: `tools/options.h` reads them from a command line.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backends/backend.h"
#include "backends/cpu/cpu_backend.h"
#include "models/model.h"
#include "passes/pass_manager.h"

namespace sluice::tools {

struct ModelOptions {
  std::string path;               // "": the embedded model
  int64_t gqa = 0;                // as in FileOptions
  std::vector<std::string> lora;  // adapters, FILE or FILE:SCALE
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
  int64_t gpu_layers = -1;          // as in Placement, and the following
  std::vector<std::string> places;  // REGEX=DEVICE
  bool fallback = false;
  // The device, together with the CPU if any of these three is set. `on_packed` is as in CpuOptions
  // and may be null.
  absl::StatusOr<std::unique_ptr<Backend>> Make(
      std::function<void(const PackEvent&)> on_packed = nullptr) const;
};

struct CacheOptions {
  std::string k_type = "f16", v_type = "f16";
  absl::Status Apply(DecoderOptions* options) const;
};

// The tokens that a sequence may have: one rule for all commands with -c.
struct ContextOptions {
  int64_t usual = 4096;          // where nothing is asked for
  std::optional<int64_t> asked;  // 0: the model's own

  // At most the model's own.
  int64_t For(const ModelConfig& config) const;
  // "", or that this is less than was asked for.
  std::string Warning(const ModelConfig& config) const;
};

// What the compiler decides, overridden.
struct CompileOptions {
  std::vector<std::string> disabled;   // passes to leave out
  std::vector<std::string> explained;  // passes that say on stderr what they nearly did
  std::vector<int64_t> buckets;        // of tokens; empty: the usual ones
  int64_t prepack_mib = -1;  // for weights in layouts of their own; -1: what can be spared

  // For graphs of `model`, which outlives them: all but the memory. Errors: an unknown pass.
  absl::StatusOr<PassOptions> Passes(const Model& model) const;
  // Bytes for packed weights beside the states of `graph`. With -1, DefaultPrepackBytes.
  absl::StatusOr<int64_t> PrepackBytes(const Graph& graph) const;
};

// For PassOptions::explain: prints what those passes explain, "all" for every pass. Errors: an
// unknown pass.
absl::StatusOr<std::function<void(absl::string_view, const std::string&)>> ExplainTo(
    std::ostream& out, const std::vector<std::string>& passes);

}  // namespace sluice::tools
