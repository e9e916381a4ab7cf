// Files from before GGUF (see models/files/ggml_file.h), spelled out or made of a GGUF file's
// tensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/files/weight_source.h"

namespace sluice {

struct GgmlToken {
  std::string text;
  float score = 0;
};

struct GgmlTensor {
  std::string name;
  std::vector<uint32_t> dims;  // in the file's order, innermost first
  uint32_t type = 0;           // as GGML numbers them; 0 is f32
  std::string data;
};

struct GgmlBytes {
  std::string magic = "tjgg";
  uint32_t version = 3;  // none with the magic lmgg
  uint32_t hidden = 0, heads = 0, layers = 0, rotated = 0, file_type = 0;
  std::vector<GgmlToken> tokens = {};
  std::vector<GgmlTensor> tensors = {};

  std::string Build() const;
};

// A file with the tensors and the tokens of a llama model. The texts of its tokens are turned into
// what was in such files: bytes and spaces as they are.
GgmlBytes ToGgml(const WeightSource& file);

}  // namespace sluice
