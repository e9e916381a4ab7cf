// A change to a weight that is kept beside it: W + factor B A in place of W, with A and B as narrow
// as the change's rank (LoRA, Hu et al. 2021, arXiv:2106.09685).
#pragma once

#include <string>

#include "graph/type.h"

namespace sluice {

// Names are those of weights in a graph, without the '@'; A and B need not be in it yet. Updates
// may share an A, but no B.
struct LowRankUpdate {
  std::string weight;  // W, [out,in] or, with one matrix per expert, [E,out,in]
  std::string a, b;
  // A is [rank,in] and B [out,rank], or [E,rank,in] and [E,out,rank]. Where W is a table
  // [ids,width] that rows are looked up in, so is A: [ids,rank]; B is [width,rank].
  TensorType a_type, b_type;
  double factor = 1;
};

}  // namespace sluice
