// The text form of a graph: for people, tests and diffs. Print and Parse round-trip exactly:
// Print(Parse(text)) == text for every text that Print made, at every stage of compilation.
//
//   graph qwen3moe {layers=2}
//   symbol tokens <= 512
//   symbol blocks <= 64
//   input %token_ids : i32[tokens]
//
//   weight @token_embd : q4_k[2048,256]
//   %x = embedding(@token_embd, %token_ids) : f32[tokens,256]
//
//   state %l0.k_cache : state<f16[blocks,2,16,64]>
//   %l0.p, %l0.id = topk_softmax(%l0.lg) {k=2} : f32[tokens,2], i32[tokens,2]
//       kernel("cpu.topk_softmax") mem(act+0x40:4096, act+0x1040:4096) by(some_pass)
//
//   output %logits
//
// (The kernel and what follows it stand on the node's line.) One line per symbol, value, node or
// output; `//` starts a comment. Print writes the header first (graph, symbols, inputs), then
// groups: runs of nodes whose names share the part before the first dot ("l0"). Weights and states
// stand before the group that first uses them, unused ones before the outputs; states keep their
// order, which is that of the runtime's arguments. Parse takes the lines in any order, as long as
// `graph` is the first and everything is defined before it is used.
//
//   graph     "graph" label [attrs]
//   symbol    "symbol" identifier "<=" integer
//   source    ("input" | "state") %name ":" type [mem]
//             "weight" @name ":" type [layout] [mem]
//   node      %name {"," %name} "=" op "(" [operand {"," operand}] ")" [attrs]
//             ":" type {"," type} {annotation}              each of them at most once
//   annotation  layer | device | kernel | mem | scratch | "once" | by
//   output    "output" %name
//   operand   %name | @name | "_"                           "_": an optional operand left out
//   attrs     "{" identifier "=" value {"," identifier "=" value} "}"
//   value     integer | float | "true" | "false" | label | shape
//   type      dtype shape | "state" "<" dtype shape ">"
//   shape     "[" [dim {"," dim}] "]"
//   dim       integer | symbol ["*" integer]                tokens*8
//   layout    "layout" "(" label ")"                        how kernels want the weight packed
//   layer     "layer" "(" (integer | "_") ")"              where the name's "l12." says another;
//   "_": none device    "device" "(" label ")"                        the one that runs the node
//   kernel    "kernel" "(" label ")"
//   mem       "mem" "(" span {"," span} ")"                 one per result
//   scratch   "scratch" "(" span ")"                        the kernel's working memory
//   span      label "+" hex-offset ":" bytes | "_"          act+0x40:4096; "_": not placed
//   by        "by" "(" label ")"                            the pass that made the node
//   label     word | string                                 silu, "two words\n"
//
// Names (%, @) and words are made of letters, digits, '.', '_' and '-'. Strings are UTF-8 with C
// escapes. A float has a '.', an exponent, or is inf or nan. Shapes of graph attributes have no
// symbols, because none is declared before them.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graph/graph.h"
#include "graph/op_def.h"

namespace sluice {

std::string Print(const Graph& graph);
std::string Print(const Node& node);  // one line, without the newline

// Parses and verifies. Errors, the first of each line that is wrong by itself, stand on lines
// "NAME:LINE:COLUMN: what is wrong, what was expected"; NAME is `source` (a file name, or "text").
absl::StatusOr<Graph> Parse(absl::string_view text, absl::string_view source = "text",
                            const OpRegistry* registry = &StandardOps());

}  // namespace sluice
