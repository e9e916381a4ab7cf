// A small registry with one op for each thing that a record can say, so that tests of the graph,
// its written forms and its verifier do not depend on real ops.
//
//   neg(x) -> y                    same type
//   join(a, b?, c?) -> y           a's type
//   pack(xs...) -> y               the first one's type
//   pair(x) -> y, z                x's type, i32 with x's shape
//   make() -> y                    f32[2]
//   opts(x) {...} -> y             every kind of attribute: i=1, f=0.5, b=false, s=plain, shape=[];
//                                  `mode` is one of fast, slow (fast); same type
//   need(x) {n} -> y               `n` is required; same type
//   view(x) {to} -> y              x's bytes with the shape `to`
//   bump(x) -> x                   changes a tensor in place
//   bump_both(x, y) -> x, y        changes two tensors in place
//   update(cache, x) -> cache      changes a state in place
//   fork(x) -> y                   makes a state of a tensor, which no graph may have
//   fickle(x) {i=0} -> y           fails to infer if i is not 0
//   over(x, y) -> z                same type as x, whose place z may take
#pragma once

#include "graph/op_def.h"

namespace sluice {

const OpRegistry& ToyOps();

}  // namespace sluice
