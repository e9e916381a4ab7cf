// What fuzzers of text have in common: vocabularies, and what they do where something is wrong.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "models/files/gguf.h"
#include "models/text/tokenizer.h"

namespace sluice {

inline void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

struct FuzzVocabulary {
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
};

// One of tests/data/tokenizer.
inline FuzzVocabulary LoadVocabulary(const char* name) {
  auto file = GgufFile::Open(absl::StrCat(SLUICE_SOURCE_DIR, "/tests/data/tokenizer/", name));
  Require(file.ok(), "the vocabulary opens");
  std::vector<std::string> warnings;
  auto tokenizer = Tokenizer::Load(**file, &warnings);
  Require(tokenizer.ok(), "the tokenizer loads");
  return {*std::move(file), *std::move(tokenizer)};
}

}  // namespace sluice
