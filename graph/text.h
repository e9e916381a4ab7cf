// The text form of a graph: for people, tests and diffs. Print and Parse round-trip exactly:
// Print(Parse(text)) == text for every text that Print made, at every stage of compilation.
//
//   graph qwen3moe {layers=2}
//   symbol tokens <= 512
//   input %token_ids : i32[tokens]
//   weight @token_embd : q4_k[2048,256]
//   %x = embedding(@token_embd, %token_ids) : f32[tokens,256]
//   state %l0.k_cache : state<f16[blocks,2,16,64]>
//   %l0.p, %l0.id = topk_softmax(%l0.lg) {k=2, renorm=true} : f32[tokens,2], i32[tokens,2] kernel("cpu.topk_softmax") mem(act+0x40:64, act+0x80:64) by(some_pass)
//   output %logits
//
// Header first (graph, symbols, inputs), then weights and states directly before the group of
// nodes that first uses them, outputs last. A left-out optional operand before a present one is
// `_`. `//` starts a comment. A blank line separates groups: runs of nodes whose names share the
// part before the first dot ("l0").
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graph/graph.h"
#include "graph/op_def.h"

namespace sluice {

std::string Print(const Graph& graph);
std::string Print(const Node& node);  // one line, without the newline

// Parses and verifies. Errors: "NAME:LINE:COLUMN: what is wrong, what was expected", where NAME is
// `source` (a file name, or "text").
absl::StatusOr<Graph> Parse(absl::string_view text, absl::string_view source = "text",
                            const OpRegistry* registry = &StandardOps());

}  // namespace sluice
