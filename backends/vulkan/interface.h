// What the words of shaders/interface.inc need in C++: sizes as shaders get them, and the numbers
// of named constants and bindings.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "backends/vulkan/pipeline.h"
#include "backends/vulkan/schedule.h"

namespace sluice::vulkan {

using uint = uint32_t;  // NOLINT: as GLSL calls it

// A size as shaders get it: `factor` times the value of a symbol in this step, symbol 0 being 1.
// So one recorded command serves every size up to the bounds. Aligned as GLSL's uvec2.
struct alignas(8) Size {
  uint32_t factor = 1;
  uint32_t symbol = 0;
};

// The values of symbols at the beginning of Region::kStep: binding 0 of every shader (common.glsl).
inline constexpr int64_t kSymbolBytes = 256;

// A shader that a dispatch runs and what it is given.
struct ShaderCall {
  std::string shader;
  std::vector<uint32_t> constants;  // specialisation constants 0, 1, ...
  std::vector<Binding> buffers;     // of bindings 0, 1, ...
  std::vector<uint32_t> arrays;     // how many of them each binding has
  std::vector<uint32_t> push;       // the words of the push constants
};

// The overload for one number of a specialisation constant or of a binding.
template <uint32_t kNumber>
struct At {};

// The buffers of one binding: one, those of an array, or, of what a variant lacks, none.
struct Bound {
  Access access;
  absl::Span<const Span> spans;
};
inline absl::Span<const Span> SpansOf(const Span& span) { return {&span, 1}; }
inline absl::Span<const Span> SpansOf(const std::vector<Span>& spans) { return spans; }
inline absl::Span<const Span> SpansOf(const std::optional<Span>& span) {
  return span.has_value() ? SpansOf(*span) : absl::Span<const Span>();
}

template <typename Table, uint32_t kNumber>
concept HasConstant = requires(const Table& table) {
  table.ConstantAt(At<kNumber>());
};
template <typename Table, uint32_t kNumber>
concept HasBinding = requires(const Table& table) {
  table.BindingAt(At<kNumber>());
};

using TableNumbers = std::make_integer_sequence<uint32_t, 16>;  // that a table may have

template <typename Table, uint32_t... kNumbers>
constexpr uint32_t CountConstants(std::integer_sequence<uint32_t, kNumbers...>) {
  return (0U + ... + uint32_t{HasConstant<Table, kNumbers>});
}
template <typename Table, uint32_t... kNumbers>
constexpr uint32_t CountBindings(std::integer_sequence<uint32_t, kNumbers...>) {
  return (0U + ... + uint32_t{HasBinding<Table, kNumbers>});
}

// Values in order of their numbers, which are 0, 1, ... without a gap, or this does not compile.
template <typename Table>
std::vector<uint32_t> ConstantsOf(const Table& table) {
  return [&]<uint32_t... kNumbers>(std::integer_sequence<uint32_t, kNumbers...>) {
    return std::vector<uint32_t>{table.ConstantAt(At<kNumbers>())...};
  }
  (std::make_integer_sequence<uint32_t, CountConstants<Table>(TableNumbers())>());
}

// Adds bindings 1, 2, ... in the same way; what a variant of the shader lacks are its last ones.
template <typename Table>
void AddBuffers(const Table& table, ShaderCall* call) {
  const auto add = [&](const Bound& bound) {
    if (bound.spans.empty()) return;
    call->arrays.push_back(static_cast<uint32_t>(bound.spans.size()));
    for (const Span& span : bound.spans) call->buffers.push_back({span, bound.access});
  };
  [&]<uint32_t... kNumbers>(std::integer_sequence<uint32_t, kNumbers...>) {
    (add(table.BindingAt(At<kNumbers + 1>())), ...);
  }
  (std::make_integer_sequence<uint32_t, CountBindings<Table>(TableNumbers())>());
}

// `parameters` is a struct of 32-bit fields, as the shader's push constants.
template <typename Bindings, typename Parameters>
ShaderCall MakeShaderCall(const std::string& shader, std::vector<uint32_t> constants,
                          const Bindings& bindings, const Parameters& parameters) {
  static_assert(sizeof(Parameters) % sizeof(uint32_t) == 0 &&
                sizeof(Parameters) <= kPushConstantBytes);
  ShaderCall call = {.shader = shader,
                     .constants = std::move(constants),
                     .buffers = {Reads({.region = Region::kStep, .bytes = kSymbolBytes})},
                     .arrays = {1},
                     .push = std::vector<uint32_t>(sizeof(Parameters) / sizeof(uint32_t))};
  AddBuffers(bindings, &call);
  std::memcpy(call.push.data(), &parameters, sizeof(Parameters));
  return call;
}

}  // namespace sluice::vulkan
