#include "backends/vulkan/staging.h"

#include <algorithm>
#include <cstring>

#include "graph/status_macros.h"

namespace sluice::vulkan {

Staging::Staging(const Device& device, const Graph& graph, const CompiledProgram& program)
    : device_(device),
      program_(program),
      upload_{.kind = MemoryKind::kUpload, .what = "inputs", .fixed = program.step_bytes},
      output_{.kind = MemoryKind::kReadback, .what = "outputs", .fixed = program.once_bytes} {
  absl::flat_hash_map<const Node*, size_t> positions;
  for (const auto& node : graph.nodes()) positions.try_emplace(node.get(), positions.size());
  for (const auto& input : graph.inputs()) {
    size_t& first = readers_.emplace_back(0);
    if (!IsFromAnotherDevice(*input)) continue;  // comes with the sizes
    first = positions.size();
    for (const Use& use : input->uses()) first = std::min(first, positions.at(use.node));
  }
  for (const Value* output : graph.outputs()) {
    makers_.push_back(output->producer() != nullptr ? positions.at(output->producer()) : 0);
  }
}

bool Staging::IsTaken(size_t input, const NodeRange& nodes) const {
  return readers_[input] >= nodes.begin && readers_[input] < nodes.end;
}

bool Staging::IsGiven(size_t output, const NodeRange& nodes) const {
  return program_.outputs[output].offset < program_.once_bytes ||
         (makers_[output] >= nodes.begin && makers_[output] < nodes.end);
}

absl::StatusOr<bool> Staging::Reserve(const NodeRange& nodes) {
  for (Direction* direction : {&upload_, &output_}) direction->begin = direction->end = 0;
  for (size_t i = 0; i < program_.inputs.size(); ++i) {
    if (program_.inputs[i].region == Region::kUpload && IsTaken(i, nodes)) {
      upload_.Add(program_.inputs[i]);
    }
  }
  for (size_t i = 0; i < program_.outputs.size(); ++i) {
    if (IsGiven(i, nodes)) output_.Add(program_.outputs[i]);
  }
  SLUICE_ASSIGN_OR_RETURN(const bool is_upload_new, upload_.Reserve(device_));
  SLUICE_ASSIGN_OR_RETURN(const bool is_output_new, output_.Reserve(device_));
  return is_upload_new || is_output_new;
}

void Staging::Direction::Add(const Span& span) {
  if (span.offset < fixed) return;
  begin = end == 0 ? span.offset : std::min(begin, span.offset);
  end = std::max(end, span.offset + span.bytes);
}

absl::StatusOr<bool> Staging::Direction::Reserve(const Device& device) {
  const int64_t needed = fixed + end - begin;
  if (buffer != nullptr && needed <= buffer->bytes()) return false;
  SLUICE_ASSIGN_OR_RETURN(auto larger, DeviceBuffer::Create(device, needed, kind, what));
  std::memset(larger->mapped(), 0, static_cast<size_t>(larger->bytes()));
  if (buffer != nullptr) {
    std::memcpy(larger->mapped(), buffer->mapped(), static_cast<size_t>(fixed));
  }
  buffer = std::move(larger);
  return true;
}

Location Staging::Locate(const Span& span) const {
  const Direction& direction = DirectionOf(span);
  return {direction.buffer->get(), direction.OffsetOf(span)};
}

std::byte* Staging::HostOf(const Span& span) const {
  const Direction& direction = DirectionOf(span);
  return direction.buffer->mapped() + direction.OffsetOf(span);
}

}  // namespace sluice::vulkan
