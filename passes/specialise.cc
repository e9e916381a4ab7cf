// specialise: makes the graph one for steps of a certain size: bounds of symbols come down to those
// of the bucket that it is compiled for. What follows decides by them: how experts are reached,
// which kernels run, how large the arena is.
//
//   before   symbol tokens <= 512        after, for the bucket of one token   symbol tokens <= 1
//
// Bounds never rise: states and tables were sized for them. Not without a bucket.
#include "passes/specialise.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "graph/decoder_interface.h"
#include "graph/status_macros.h"
#include "passes/passes.h"

namespace sluice {

absl::StatusOr<bool> Specialise(Graph& graph, const CompileContext& context) {
  bool changed = false;
  for (const auto& [symbol, bound] : context.bucket.entries()) {
    if (bound >= graph.Bounds().Get(symbol)) continue;
    SLUICE_RETURN_IF_ERROR(graph.SetBound(symbol, bound));
    changed = true;
  }
  return changed;
}

// 1: one sequence that generates. 4: few enough that experts are reached token by token. 16: some
// sequences together, or the end of a prompt. The largest: prompts.
std::vector<int64_t> DefaultTokenBuckets(int64_t max_tokens) {
  std::vector<int64_t> buckets;
  for (const int64_t tokens : {1, 4, 16}) {
    if (tokens < max_tokens) buckets.push_back(tokens);
  }
  buckets.push_back(max_tokens);
  return buckets;
}

SymbolValues BucketBounds(int64_t tokens, int64_t max_outputs) {
  SymbolValues bounds;
  bounds.Set(decoder::kTokens, tokens);
  bounds.Set(decoder::kOutputs, std::min(tokens, max_outputs));
  bounds.Set(decoder::kSeqs, tokens);
  return bounds;
}

}  // namespace sluice
