#include "backends/vulkan/lowering.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/formats.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {

Lowering::Lowering(const Graph& graph, const Node& node, const DeviceInfo& device,
                   PipelineCache* pipelines, Program* program)
    : graph_(graph),
      node_(node),
      device_(device),
      pipelines_(pipelines),
      program_(program),
      types_(node.OperandTypes()),
      call_{node.op(), types_, node.attrs()} {}

Operand Lowering::OperandAt(size_t i) const {
  const Value* const value = node_.operand(i);
  if (value == nullptr) return NoOperand();
  return {value, program_->places.at(value)};
}

Span Lowering::Scratch() const {
  const MemSpan& scratch = *node_.scratch();
  return {.region = Region::kArena, .offset = scratch.offset, .bytes = scratch.bytes};
}

Span Lowering::Table(absl::Span<const uint32_t> words) {
  std::vector<uint32_t>& tables = program_->tables;
  const auto bytes = static_cast<int64_t>(words.size() * sizeof(uint32_t));
  // Every layer asks for the same: a table that is there is used again.
  constexpr size_t kStep = kBindingAlignment / sizeof(uint32_t);
  size_t at = 0;
  for (; at + words.size() <= tables.size(); at += kStep) {
    if (std::equal(words.begin(), words.end(), tables.begin() + static_cast<ptrdiff_t>(at))) break;
  }
  if (at + words.size() > tables.size()) {
    at = tables.size();
    tables.insert(tables.end(), words.begin(), words.end());
    tables.resize((tables.size() + kStep - 1) / kStep * kStep);
  }
  return {.region = Region::kTables,
          .offset = static_cast<int64_t>(at * sizeof(uint32_t)),
          .bytes = bytes};
}

Span Lowering::Kept(int64_t bytes) {
  const Span span = {.region = Region::kKept, .offset = program_->kept_bytes, .bytes = bytes};
  program_->kept_bytes += AlignBinding(bytes);
  return span;
}

Span Lowering::ErrorSlot() {
  const auto slot = static_cast<int64_t>(program_->error_slots.size());
  program_->error_slots.push_back(&node_);
  return {.region = Region::kErrors, .offset = slot * kErrorSlotBytes, .bytes = kErrorSlotBytes};
}

Size Lowering::Elements(const Shape& shape) const {
  Size size;
  for (const Dim& dim : shape) {
    size.factor *= static_cast<uint32_t>(dim.factor());
    if (dim.is_constant()) continue;
    const auto symbols = graph_.symbols();
    const auto it = std::find_if(symbols.begin(), symbols.end(),
                                 [&](const SymbolDef& s) { return s.name == dim.symbol(); });
    size.symbol = static_cast<uint32_t>(it - symbols.begin()) + 1;
  }
  return size;
}

int64_t Lowering::Bound(const Size& size) const {
  return int64_t{size.factor} * (size.symbol == 0 ? 1 : graph_.symbols()[size.symbol - 1].bound);
}

int64_t Lowering::WeightRows(const Operand& weight) const {
  const Shape& shape = weight.shape();
  return Bound(Elements(Shape(shape.begin(), shape.end() - 1)));
}

int64_t Lowering::RowsPerPart(const Operand& weight) const {
  const int64_t rows = WeightRows(weight), bytes = weight.span.bytes;
  if (bytes <= device_.max_binding_bytes) return rows;
  // A multiple of 64 rows begins where a binding may.
  return std::max<int64_t>(64, device_.max_binding_bytes / (bytes / rows) / 64 * 64);
}

std::vector<Lowering::Part> Lowering::Parts(const Operand& weight, int64_t rows_per_part) const {
  const Span whole = weight.span;
  const int64_t rows = WeightRows(weight), row_bytes = whole.bytes / rows;
  std::vector<Part> parts;
  for (int64_t first = 0; first < rows; first += rows_per_part) {
    Span span = whole;
    const int64_t count = std::min(rows_per_part, rows - first);
    span.offset += first * row_bytes;
    span.bytes = count * row_bytes;
    parts.push_back({static_cast<uint32_t>(first), static_cast<uint32_t>(count),
                     static_cast<uint32_t>(row_bytes), span});
  }
  return parts;
}

void Lowering::Copy(const Span& from, const Span& to) {
  program_->commands.push_back(
      {.node = &node_, .is_copy = true, .bindings = {Reads(from), Writes(to)}});
}

absl::Status Lowering::AddDispatch(ShaderCall call, std::array<int64_t, 3> groups) {
  Command command = {
      .node = &node_, .bindings = std::move(call.buffers), .push = std::move(call.push)};
  for (const Binding& binding : command.bindings) {
    if (binding.span.bytes <= 0) {
      return absl::InternalError(absl::StrCat("a binding of '", call.shader, "' was left out"));
    }
    if (binding.span.bytes <= device_.max_binding_bytes) continue;
    return absl::UnimplementedError(absl::StrCat("it needs ", binding.span.bytes,
                                                 " bytes in one piece, '", device_.name,
                                                 "' can bind ", device_.max_binding_bytes));
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i] > device_.max_groups) {
      return absl::UnimplementedError(absl::StrCat("it needs ", groups[i], " workgroups, '",
                                                   device_.name, "' runs ", device_.max_groups));
    }
    command.groups[i] = static_cast<uint32_t>(groups[i]);
  }
  if (pipelines_ != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(command.pipeline,
                            pipelines_->Get(call.shader, call.constants, call.arrays));
  }
  program_->commands.push_back(std::move(command));
  return absl::OkStatus();
}

int64_t GroupsFor(int64_t elements, int64_t per_group) {
  constexpr int64_t kMost = 65535;  // that every device runs
  return std::clamp<int64_t>((elements + per_group - 1) / per_group, 1, kMost);
}

}  // namespace sluice::vulkan
