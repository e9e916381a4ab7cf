// A GGUF file as it is, key by key and tensor by tensor: whether or not it is a model that loads.
#pragma once

#include <string>

#include "models/files/gguf.h"

namespace sluice {

// `full` shows arrays and texts to their ends, otherwise where they begin.
std::string GgufText(const GgufFile& file, bool full);
// One object: path, version, alignment, metadata (key, type, value; of an array the element type,
// the number of elements and, if `full`, the elements) and tensors.
std::string GgufJson(const GgufFile& file, bool full);

}  // namespace sluice
