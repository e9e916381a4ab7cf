// The merge loop that byte-pair encoding and SentencePiece share: neighbouring symbols are joined,
// cheapest pair first, until no pair can be joined any more.
//
// R. Sennrich, B. Haddow, A. Birch, "Neural Machine Translation of Rare Words with Subword Units",
// 2016; T. Kudo, J. Richardson, "SentencePiece", 2018.
#pragma once

#include <cstddef>
#include <vector>

#include "absl/functional/function_ref.h"
#include "models/files/token.h"

namespace sluice {

// A stretch of text. Symbols lie side by side and none is empty.
struct Symbol {
  size_t begin;
  size_t end;
  TokenId id;  // kNoToken where the vocabulary has no such token
};

struct Merge {
  TokenId id = kNoToken;  // of the joined symbol; kNoToken: the pair cannot be joined
  double cost = 0;        // never NaN
};
using FindMergeFn = absl::FunctionRef<Merge(const Symbol& left, const Symbol& right)>;

// The symbols that are left. Of pairs with equal cost the leftmost is joined first.
// O(n log n) calls and steps for n symbols.
std::vector<Symbol> MergeSymbols(std::vector<Symbol> symbols, FindMergeFn find);

}  // namespace sluice
