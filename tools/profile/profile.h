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
#include "tools/profile/cost.h"
#include "tools/profile/parts.h"

namespace sluice {

enum class Phase : uint8_t { kPrefill, kDecode };
absl::string_view Name(Phase phase);  // "prefill", "decode"

struct ProfiledNode {
  std::string name, op, kernel, origin;  // kernel, origin: empty as in Node
  Part part = Part::kOther;
};
struct ProfiledStep {
  Phase phase = Phase::kPrefill;
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
  int64_t prompt = 512;   // tokens, in steps as large as the session allows; 0: no such phase
  int64_t generate = 32;  // decode steps; 0: no such phase
  int64_t depth = 0;      // tokens in the context before each phase
  std::function<void(int64_t tokens)> on_step = {};  // progress, warm-up included
};

// Runs each phase on a sequence of its own, with random tokens and after a warm-up, and times every
// node. Errors: a context of less than depth + prompt or depth + generate, and those of the steps.
absl::StatusOr<Profile> ProfileSteps(Session& session, const ProfileOptions& options);

enum class ProfileKey : uint8_t { kOp, kPart, kNode, kKernel, kOrigin };

// The runs of one phase that have something in common.
struct ProfileRow {
  std::string key;  // "builder" for nodes without an origin, "none" without a kernel
  int64_t calls = 0;
  double seconds = 0;
  OpCost cost;
  std::vector<std::string> kernels;  // different ones, in alphabetical order
};
// The longest first.
std::vector<ProfileRow> GroupRuns(const Profile& profile, Phase phase, ProfileKey key);

// The sum of a phase's steps.
struct PhaseTotal {
  int64_t steps = 0, tokens = 0;
  double seconds = 0;       // of the steps
  double node_seconds = 0;  // of the nodes in them
  OpCost cost;
};
PhaseTotal TotalOf(const Profile& profile, Phase phase);

}  // namespace sluice
