// Where the time of a model's steps goes, node by node.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backends/backend.h"
#include "runtime/session.h"
#include "tools/machine/ceilings.h"
#include "tools/profile/cost.h"
#include "tools/profile/parts.h"

namespace sluice {

enum class Phase : uint8_t { kPrefill, kDecode };
absl::string_view Name(Phase phase);  // "prefill", "decode"

struct ProfiledNode {
  std::string name, op, kernel, origin;  // kernel, origin: empty as in Node
  Part part = Part::kOther;
  Arithmetic arithmetic = Arithmetic::kF32;  // its kernel's
};
struct ProfiledStep {
  Phase phase = Phase::kPrefill;
  int64_t sample = 0;  // of its phase: a prompt's steps are one sample, each decode step is one
  int64_t bucket = 0;  // tokens that its executable was compiled for
  StepSize size;
  double start = 0, seconds = 0;  // since the first step began
};
struct NodeRun {
  size_t node = 0, step = 0;  // indices into the lists of Profile
  double start = 0, seconds = 0;
  OpCost cost;
};
// Holds no pointers: it outlives the session.
struct Profile {
  std::vector<ProfiledNode> nodes;
  std::vector<ProfiledStep> steps;
  std::vector<NodeRun> runs;  // in order of time
};

struct ProfileOptions {
  int64_t prompt = 512;     // tokens, in steps as large as the session allows; 0: no such phase
  int64_t generate = 32;    // decode steps; 0: no such phase
  int64_t depth = 0;        // tokens in the context before each phase
  int64_t repetitions = 5;  // of the prompt, each on a sequence of its own
  const KernelSet* kernels = nullptr;  // of the session's backend; null: all is taken for f32
  std::function<void(int64_t tokens)> on_step = {};  // progress, warm-up included
};

// Runs each phase with random tokens and after a warm-up, and times every node. Errors: a context
// of less than depth + prompt or depth + generate, and those of the steps.
absl::StatusOr<Profile> ProfileSteps(Session& session, const ProfileOptions& options);

enum class ProfileKey : uint8_t { kOp, kPart, kNode, kKernel, kOrigin };

// Seconds of a phase's samples: one that was held up by something else moves no median.
struct Spread {
  double median = 0, low = 0, high = 0;  // these are quartiles
};
// Between the two that are nearest where it falls between them. Nothing for none.
Spread SpreadOf(std::vector<double> samples);

// The runs of one phase that have something in common. Figures are of one sample: costs are means,
// which differ only as a context grows.
struct ProfileRow {
  std::string key;  // "builder" for nodes without an origin, "none" without a kernel
  double calls = 0;
  Spread seconds;
  OpCost cost;
  // What the same would take at the ceilings, each call at that of its kernel's arithmetic and of
  // the bytes that it goes over.
  double transfer_seconds = 0, compute_seconds = 0;
  std::vector<std::string> kernels;  // different ones, in alphabetical order
};
// The longest first.
std::vector<ProfileRow> GroupRuns(const Profile& profile, Phase phase, ProfileKey key,
                                  const Ceiling& ceiling = {});

// A phase as a whole.
struct PhaseTotal {
  int64_t samples = 0, steps = 0, tokens = 0;  // steps and tokens: of one sample
  ProfileRow all;                              // of the steps
  Spread between = {};                         // of the steps, what is not of their nodes
};
PhaseTotal TotalOf(const Profile& profile, Phase phase, const Ceiling& ceiling = {});

}  // namespace sluice
