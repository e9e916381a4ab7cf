// A profile as tables for people and as JSON for programs, beside what the machine can do at most.
#pragma once

#include <string>
#include <vector>

#include "tools/machine/ceilings.h"
#include "tools/profile/profile.h"

namespace sluice {

struct ProfileReport {
  std::vector<ProfileKey> keys;  // one table for each and phase
  Ceiling ceiling;
  size_t most_rows = 0;        // of a table, the rest in one line; 0: all
  int64_t peak_growth = 0;     // bytes by which the process grew at most, from before the model
  int64_t peak_predicted = 0;  // the same as tools/inspect/memory.h predicts it
};

absl::string_view Name(ProfileKey key);  // "op", "part", "node", "kernel", "origin"
absl::Span<const ProfileKey> AllProfileKeys();

// Per row: the median time of all samples and their middle half, its share of the phase, calls,
// what it reads and writes a second, what it computes, both also in percent of what the ceilings
// allow for its bytes and its kernels' arithmetic, and the kernels.
std::string ProfileText(const Profile& profile, const ProfileReport& report);

// One object: machine, memory, and phases with one list of rows per key. Figures are of one sample:
// a whole prompt, or a decode step.
std::string ProfileJson(const Profile& profile, const ProfileReport& report);

}  // namespace sluice
