// Vocabularies of a given size and kind whose tokens are made up: they load, encode and decode like
// real ones and hold as many tokens and merges, but belong to nobody.
#pragma once

#include <cstdint>

#include "models/files/gguf_writer.h"
#include "models/shapes/model_shape.h"

namespace sluice {

// Sets the keys tokenizer.ggml.*. Every byte has a token, so that any text can be encoded; after
// them come strings of letters: a, b, ..., aa, ab, ..., each the merge of a shorter one and a
// letter. `size` is at least 512; control tokens with ids from `size` on are left out.
void SetSyntheticVocabulary(const VocabularyShape& shape, int64_t size, GgufWriter* writer);

}  // namespace sluice
