// The tokens that keep a text within a grammar.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "runtime/constraint/automaton.h"
#include "runtime/constraint/grammar.h"
#include "runtime/constraint/token_filter.h"
#include "runtime/constraint/token_trie.h"

namespace sluice {

// What comes out is a beginning of a text of the grammar at any time, and a whole one once a token
// that ends it was allowed. What was found out about a state is kept, for strings above all, whose
// state is the same after every character.
class GrammarFilter final : public TokenFilter {
 public:
  GrammarFilter(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> tokens);

  absl::StatusOr<absl::Span<const uint64_t>> Allowed() override;
  void Accept(int32_t token) override;
  bool IsComplete() const override;

 private:
  struct Mask {
    std::vector<uint64_t> bits;
    bool is_empty = true;
  };
  absl::StatusOr<Mask> Find(Automaton::State state);

  std::shared_ptr<const TokenTrie> tokens_;
  Automaton automaton_;
  Automaton::State state_;
  int64_t bytes_ = 0;  // of the text
  absl::flat_hash_map<Automaton::State, Mask> masks_;
  // States of the walk by depth, first the one that it starts from.
  std::vector<Automaton::State> path_;
};

}  // namespace sluice
