// libFuzzer target: any schema compiles or is refused, within bounds, and of a compiled one every
// beginning that its automaton takes has an end.
// The seed corpus is tests/data/json_schema.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "runtime/constraint/automaton.h"
#include "runtime/constraint/json_schema.h"
#include "tests/support/fuzz_vocabulary.h"

namespace sluice {
namespace {

// Takes the first byte that leads on, in an order that `choices` shifts, until none does.
void WalkToAnEnd(Automaton& automaton, const std::string& choices) {
  constexpr size_t kMostBytes = 300;
  std::string text;
  Automaton::State state = automaton.start();
  while (!automaton.IsLast(state) && text.size() < kMostBytes && !automaton.exhausted()) {
    const auto shift = static_cast<uint8_t>(choices[text.size() % choices.size()]);
    Automaton::State next = Automaton::kDead;
    int byte = 0;
    for (; byte < 256 && next == Automaton::kDead; ++byte) {
      next = automaton.Next(state, static_cast<uint8_t>(byte + shift));
    }
    Require(next != Automaton::kDead || automaton.exhausted(), "every beginning has an end");
    text += static_cast<char>(byte - 1 + shift);
    state = next;
  }
  if (!automaton.Accepts(state)) return;
  const auto value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  Require(!value.is_discarded(), "what is accepted is JSON");
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;  // NOLINT(google-build-using-namespace): the entry point of one file
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto schema = nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (schema.is_discarded()) return 0;
  const auto grammar = CompileJsonSchema(schema);
  if (!grammar.ok()) {
    Require(grammar.status().code() == absl::StatusCode::kInvalidArgument, "refused for a reason");
    return 0;
  }
  Automaton automaton(*grammar);
  automaton.Allow(1 << 18);
  WalkToAnEnd(automaton, text);
  return 0;
}
