// The shaders inside this program, as compiled when it was built. shaders/CMakeLists.txt has the
// table of variants, from which the definition of this function is generated.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice::vulkan {

// The SPIR-V of the variant; empty if there is none of that name.
absl::Span<const uint32_t> FindShader(absl::string_view name);

// Of all variants.
std::vector<absl::string_view> ShaderNames();

}  // namespace sluice::vulkan
