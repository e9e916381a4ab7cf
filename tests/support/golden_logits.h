// Logits of whole texts, and the files that golden ones come in.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/session.h"

namespace sluice {

// Little-endian float32, to the end of the file.
inline std::vector<float> ReadFloats(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<float> values(std::filesystem::file_size(path) / sizeof(float));
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(float)));
  return values;
}

// Logits of all positions, evaluated `chunk` tokens at a time.
inline absl::StatusOr<std::vector<float>> LogitsOf(Session& session,
                                                   const std::vector<int32_t>& ids, size_t chunk) {
  std::vector<float> all;
  const auto sequence = session.NewSequence();
  for (size_t begin = 0; begin < ids.size(); begin += chunk) {
    std::vector<StepToken> step;
    for (size_t i = begin; i < std::min(ids.size(), begin + chunk); ++i) {
      step.push_back({sequence.get(), ids[i], true});
    }
    auto logits = session.Step(step);
    if (!logits.ok()) return logits.status();
    all.insert(all.end(), logits->begin(), logits->end());
  }
  return all;
}

}  // namespace sluice
