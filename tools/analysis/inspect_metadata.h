// What a model file says of itself, as text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "models/gguf.h"
#include "models/model.h"

namespace sluice {

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

// What one asks first: name, file, architecture, layers, sizes, experts, vocabulary, context, rope.
NamedTexts KeyFacts(const Model& model);

// Every key in file order. Long texts are cut, arrays show their size and first elements; nothing
// that a terminal would take for a command gets through.
NamedTexts AllMetadata(const GgufFile& file);

}  // namespace sluice
