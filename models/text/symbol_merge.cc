#include "models/text/symbol_merge.h"

#include <queue>
#include <utility>

namespace sluice {
namespace {

// A pair that can be joined. It is out of date once either side has been part of another merge:
// then a symbol is gone, or the right one reaches further than `end`.
struct Candidate {
  size_t left;  // symbol
  size_t right;
  size_t end;  // of the right symbol's text
  Merge merge;
};

struct Later {
  bool operator()(const Candidate& a, const Candidate& b) const {
    if (a.merge.cost != b.merge.cost) return a.merge.cost > b.merge.cost;
    return a.left > b.left;
  }
};

class Merger {
 public:
  Merger(std::vector<Symbol> symbols, FindMergeFn find)
      : symbols_(std::move(symbols)), links_(symbols_.size()), find_(find) {}

  std::vector<Symbol> Run() {
    Start();
    while (!queue_.empty()) {
      const Candidate next = queue_.top();
      queue_.pop();
      if (IsCurrent(next)) Join(next);
    }
    return Remaining();
  }

 private:
  // Neighbours of a symbol; the number of symbols stands for "none" on either side.
  struct Link {
    size_t previous;
    size_t next;
    bool alive;
  };

  void Start() {
    const size_t count = symbols_.size();
    std::vector<Candidate> candidates;
    candidates.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      links_[i] = {i == 0 ? count : i - 1, i + 1, true};
      if (i > 0) AddPair(i - 1, i, [&](const Candidate& pair) { candidates.push_back(pair); });
    }
    queue_ = Queue(Later(), std::move(candidates));
  }

  template <typename Push>
  void AddPair(size_t left, size_t right, const Push& push) {
    if (left == symbols_.size() || right == symbols_.size()) return;
    const Merge merge = find_(symbols_[left], symbols_[right]);
    if (merge.id != kNoToken) push(Candidate{left, right, symbols_[right].end, merge});
  }

  bool IsCurrent(const Candidate& pair) const {
    return links_[pair.left].alive && links_[pair.right].alive &&
           symbols_[pair.right].end == pair.end;
  }

  void Join(const Candidate& pair) {
    Link& left = links_[pair.left];
    symbols_[pair.left].end = pair.end;
    symbols_[pair.left].id = pair.merge.id;
    links_[pair.right].alive = false;
    left.next = links_[pair.right].next;
    if (left.next < symbols_.size()) links_[left.next].previous = pair.left;
    const auto push = [this](const Candidate& added) { queue_.push(added); };
    AddPair(left.previous, pair.left, push);
    AddPair(pair.left, left.next, push);
  }

  std::vector<Symbol> Remaining() const {
    std::vector<Symbol> result;
    for (size_t i = 0; i < symbols_.size(); i = links_[i].next) result.push_back(symbols_[i]);
    return result;
  }

  using Queue = std::priority_queue<Candidate, std::vector<Candidate>, Later>;
  std::vector<Symbol> symbols_;
  std::vector<Link> links_;
  FindMergeFn find_;
  Queue queue_;
};

}  // namespace

std::vector<Symbol> MergeSymbols(std::vector<Symbol> symbols, FindMergeFn find) {
  return Merger(std::move(symbols), find).Run();
}

}  // namespace sluice
