#include "runtime/machine_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

// The number after `name` at the beginning of a line: "VmRSS:	  1234 kB", "inactive_file 99".
std::optional<int64_t> Field(absl::string_view text, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    int64_t value;
    if (words.size() >= 2 && words[0] == name && absl::SimpleAtoi(words[1], &value)) return value;
  }
  return std::nullopt;
}

std::optional<int64_t> KibibyteField(absl::string_view text, absl::string_view name) {
  const std::optional<int64_t> value = Field(text, name);
  return value.has_value() ? std::optional(*value * 1024) : std::nullopt;
}

std::optional<int64_t> NumberIn(const std::string& path) {
  int64_t value;  // "max" is no number: no limit
  return absl::SimpleAtoi(absl::StripAsciiWhitespace(ReadAll(path)), &value) ? std::optional(value)
                                                                             : std::nullopt;
}

// How the two versions of control groups call the same things.
struct GroupFiles {
  absl::string_view mount, limit, usage;
  absl::string_view inactive_files, active_files;  // in memory.stat: pages that can be dropped
};
constexpr GroupFiles kVersion1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                  "memory.usage_in_bytes", "total_inactive_file",
                                  "total_active_file"};
constexpr GroupFiles kVersion2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file",
                                  "active_file"};

void LimitByGroup(const std::string& root, const GroupFiles& files, absl::string_view group,
                  MachineMemory* memory) {
  const std::string folder = absl::StrCat(root, files.mount, group, "/");
  const std::optional<int64_t> limit = NumberIn(absl::StrCat(folder, files.limit));
  const std::optional<int64_t> usage = NumberIn(absl::StrCat(folder, files.usage));
  if (!limit.has_value() || !usage.has_value()) return;
  const std::string stat = ReadAll(absl::StrCat(folder, "memory.stat"));
  const int64_t droppable =
      Field(stat, files.inactive_files).value_or(0) + Field(stat, files.active_files).value_or(0);
  const int64_t left = std::max<int64_t>(0, *limit - *usage + std::min(droppable, *usage));
  if (left >= memory->available) return;
  *memory = {.available = left,
             .limited_by = absl::StrCat("control group ", group.empty() ? "/" : group)};
}

// The group itself and all above it: each has a limit.
void LimitByGroups(const std::string& root, const GroupFiles& files, absl::string_view group,
                   MachineMemory* memory) {
  absl::ConsumeSuffix(&group, "/");
  while (true) {
    LimitByGroup(root, files, group, memory);
    if (group.empty()) return;
    group = group.substr(0, group.rfind('/'));
  }
}

}  // namespace

absl::StatusOr<MachineMemory> ReadMachineMemory(const std::string& root) {
  const std::string path = absl::StrCat(root, "/proc/meminfo");
  const std::optional<int64_t> available = KibibyteField(ReadAll(path), "MemAvailable:");
  if (!available.has_value()) return absl::NotFoundError(absl::StrCat(path, ": no MemAvailable"));
  MachineMemory memory{.available = *available, .limited_by = "memory of the machine"};
  const std::string groups = ReadAll(absl::StrCat(root, "/proc/self/cgroup"));
  // Lines are "hierarchy:controllers:group"; version 2 is hierarchy 0 without controllers.
  for (const absl::string_view line : absl::StrSplit(groups, '\n')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::vector<absl::string_view> controllers = absl::StrSplit(parts[1], ',');
    if (parts[0] == "0" && parts[1].empty()) {
      LimitByGroups(root, kVersion2, parts[2], &memory);
    } else if (std::find(controllers.begin(), controllers.end(), "memory") != controllers.end()) {
      LimitByGroups(root, kVersion1, parts[2], &memory);
    }
  }
  return memory;
}

absl::StatusOr<ProcessMemory> ReadProcessMemory(const std::string& root,
                                                const std::string& process) {
  const std::string path = absl::StrCat(root, "/proc/", process, "/status");
  const std::string status = ReadAll(path);
  const std::optional<int64_t> resident = KibibyteField(status, "VmRSS:");
  const std::optional<int64_t> peak = KibibyteField(status, "VmHWM:");
  if (resident.has_value() && peak.has_value()) return ProcessMemory{*resident, *peak};
  return absl::NotFoundError(absl::StrCat(path, ": no VmRSS and VmHWM"));
}

}  // namespace sluice
