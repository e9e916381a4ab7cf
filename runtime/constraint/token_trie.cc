#include "runtime/constraint/token_trie.h"

#include <algorithm>
#include <utility>

namespace sluice {

TokenTrie::TokenTrie(std::vector<std::string> texts, std::vector<int32_t> ends)
    : texts_(std::move(texts)), ends_(std::move(ends)) {
  std::erase_if(ends_, [this](int32_t token) { return token < 0 || token >= vocabulary(); });
  for (const int32_t token : ends_) texts_[static_cast<size_t>(token)].clear();
  for (size_t i = 0; i < texts_.size(); ++i) {
    if (texts_[i].size() > kMaxBytes) texts_[i].clear();
    if (!texts_[i].empty()) tokens_.push_back(static_cast<int32_t>(i));
    depth_ = std::max(depth_, texts_[i].size());
  }
  std::sort(tokens_.begin(), tokens_.end(),
            [this](int32_t a, int32_t b) { return TextOf(a) < TextOf(b); });
  AddNodes();
}

absl::string_view TokenTrie::TextOf(int32_t token) const {
  return token >= 0 && token < vocabulary() ? texts_[static_cast<size_t>(token)]
                                            : absl::string_view();
}

void TokenTrie::AddNodes() {
  std::vector<size_t> path;  // the nodes of the text before
  const auto leave = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back()) {
      nodes_[path.back()].end = static_cast<int32_t>(nodes_.size());
    }
  };
  absl::string_view before;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const absl::string_view text = TextOf(tokens_[i]);
    const auto parted = std::mismatch(before.begin(), before.end(), text.begin(), text.end());
    leave(static_cast<size_t>(parted.first - before.begin()));
    while (path.size() < text.size()) {
      path.push_back(nodes_.size());
      nodes_.push_back({.first_token = static_cast<int32_t>(i),
                        .depth = static_cast<uint16_t>(path.size() - 1),
                        .byte = static_cast<uint8_t>(text[path.size() - 1])});
    }
    before = text;
  }
  leave(0);
  nodes_.push_back({.first_token = static_cast<int32_t>(tokens_.size())});
}

}  // namespace sluice
