#include "models/architectures/architecture.h"

namespace sluice {

absl::Span<const Architecture* const> Architectures() {
  static constexpr const Architecture* kAll[] = {
      &kBert, &kLlama, &kQwen2, &kQwen3, &kQwen3Moe,
  };
  return kAll;
}

const Architecture* FindArchitecture(absl::string_view name) {
  for (const Architecture* architecture : Architectures()) {
    if (architecture->name == name) return architecture;
  }
  return nullptr;
}

}  // namespace sluice
