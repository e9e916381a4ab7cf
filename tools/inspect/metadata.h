// What a model file says of itself, as text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "models/files/weight_source.h"
#include "models/model.h"

namespace sluice {

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

// What one asks first: name, file, architecture, layers, sizes, experts, vocabulary, context, rope,
// adapters if there are any.
NamedTexts KeyFacts(const Model& model);

// Every key in file order. Long texts are cut, arrays show their size and first elements, unless
// `full`; nothing that a terminal would take for a command gets through.
NamedTexts AllMetadata(const WeightSource& file, bool full = false);

}  // namespace sluice
