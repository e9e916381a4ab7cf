#include "backends/vulkan/schedule.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sluice::vulkan {
namespace {

bool Conflict(const Binding& a, const Binding& b) {
  const bool writes = a.access == Access::kWrite || b.access == Access::kWrite;
  return writes && Overlap(a.span, b.span);
}

bool Conflict(const Command& a, const Command& b) {
  return std::any_of(a.bindings.begin(), a.bindings.end(), [&](const Binding& x) {
    return std::any_of(b.bindings.begin(), b.bindings.end(),
                       [&](const Binding& y) { return Conflict(x, y); });
  });
}

std::string Describe(absl::Span<const Command> commands, size_t i) {
  const Node* node = commands[i].node;
  return absl::StrCat("command ", i, " (", node != nullptr ? node->name() : "input or output", ")");
}

}  // namespace

bool Overlap(const Span& a, const Span& b) {
  return a.region == b.region && a.index == b.index && a.offset < b.offset + b.bytes &&
         b.offset < a.offset + a.bytes;
}

void PlaceBarriers(std::vector<Command>* commands) {
  size_t first = 0;  // of those since the last barrier
  for (size_t i = 0; i < commands->size(); ++i) {
    Command& command = (*commands)[i];
    command.barrier_before =
        std::any_of(commands->begin() + static_cast<ptrdiff_t>(first),
                    commands->begin() + static_cast<ptrdiff_t>(i),
                    [&](const Command& earlier) { return Conflict(earlier, command); });
    if (command.barrier_before) first = i;
  }
}

absl::Status CheckHazards(absl::Span<const Command> commands) {
  std::vector<size_t> epochs;  // barriers before and at each command
  for (const Command& command : commands) {
    epochs.push_back((epochs.empty() ? 0 : epochs.back()) + (command.barrier_before ? 1 : 0));
  }
  for (size_t i = 0; i < commands.size(); ++i) {
    for (size_t j = i + 1; j < commands.size() && epochs[i] == epochs[j]; ++j) {
      if (!Conflict(commands[i], commands[j])) continue;
      return absl::InternalError(absl::StrCat("no barrier between ", Describe(commands, i), " and ",
                                              Describe(commands, j),
                                              ", which use the same memory"));
    }
  }
  return absl::OkStatus();
}

}  // namespace sluice::vulkan
