// One list of op applications, as small graphs, for everything that is done per op: parity of every
// backend with the reference, and speed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backends/backend.h"
#include "graph/graph.h"
#include "tools/debug/random_data.h"

namespace sluice {

struct OpCase {
  std::string name;    // "matmul/q4_k/7x512x96"
  std::string text;    // a graph in text form
  ValueRanges ranges;  // where they are not what its ops allow
};

// Every op of the registry is in at least one case of the two lists (a test checks it).
std::vector<OpCase> AllOpCases();
// Cases of fused ops that a backend may lack: their passes run only for one that has kernels.
std::vector<OpCase> OptionalOpCases();

// An input of a case, and the first number that is too large an index for it; -1 is too small.
struct BadIndex {
  std::string op_case;
  std::string input;
  int64_t limit;
};
std::vector<BadIndex> AllBadIndices();

// "matmul_q4_k_7" and "embedding_f32_ids", for names of tests.
std::string TestName(const OpCase& test);
std::string TestName(const BadIndex& bad);

// Those of `cases` with an operand whose place a result may take.
std::vector<OpCase> CasesWithReplaceableOperands(std::vector<OpCase> cases);

struct CopiedOperand {
  const Value* copy;
  const Value* result;
};
// Puts a copy before every operand whose place a result may take. Nobody else needs the copy, so
// that memory planning puts the result there.
absl::StatusOr<std::vector<CopiedOperand>> CopyReplaceableOperands(Graph* graph);

// Chooses kernels and plans memory, and no more: every op stays as the case has it.
absl::Status CompileFor(const Backend& backend, Graph* graph);

}  // namespace sluice
