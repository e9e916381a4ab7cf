// A vocabulary's byte strings as a tree, in which tokens that begin alike share their beginning: to
// ask of all tokens at once whether they fit, each beginning is looked at once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// Immutable: made once for a vocabulary and shared between threads.
class TokenTrie {
 public:
  // Longer tokens are left out: rules of blanks or dashes, most of them, which shorter ones can
  // spell. With this bound more states share a mask, see Automaton::Alike.
  static constexpr size_t kMaxBytes = 48;

  // In the order of a walk: a node's first child comes next, and `end` is the node after its last
  // descendant. Its tokens are tokens()[first_token] to the next node's first_token.
  struct Node {
    int32_t end = 0;
    int32_t first_token = 0;
    uint16_t depth = 0;  // 0: the children of the root
    uint8_t byte = 0;
  };

  // What each token stands for, by id; "": nothing that a text can hold, such as control tokens.
  // `ends` are the tokens that end a text; what they stand for does not matter.
  TokenTrie(std::vector<std::string> texts, std::vector<int32_t> ends);

  int64_t vocabulary() const { return static_cast<int64_t>(texts_.size()); }
  // "" for tokens that are not in the tree.
  absl::string_view TextOf(int32_t token) const;
  absl::Span<const int32_t> ends() const { return ends_; }
  // The last one has no byte: it ends the lists.
  absl::Span<const Node> nodes() const { return nodes_; }
  absl::Span<const int32_t> tokens() const { return tokens_; }
  // Bytes of the longest token.
  size_t depth() const { return depth_; }

 private:
  void AddNodes();

  std::vector<std::string> texts_;
  std::vector<int32_t> ends_;
  std::vector<Node> nodes_;
  std::vector<int32_t> tokens_;  // by what they stand for
  size_t depth_ = 0;
};

}  // namespace sluice
