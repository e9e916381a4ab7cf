// Golden tests of passes: every tests/passes/cases/*.ir file is
//
//   // passes: canonicalise,fuse_gate_up        what to run
//   // backend: cpu                             kernels to choose from; left out: none
//   // range ids 0 7                            values of an input; left out: what its users allow
//   // place REGEX=DEVICE                       a rule; the devices are ref and cpu
//   // layers 2                                 Placement's
//   // bound tokens 1                           of the bucket that is compiled for
//   // lora wq .lora f32[2,64] f32[64,2] 0.5    an update: @wq by @wq.lora_a and _b, and its factor
//   // refused: %y: not rewritten to glu: ...   the explanations, where there are any
//   <graph>
//   ----
//   <the graph expected>
//
// The texts are compared, and then both graphs are run on the reference with the same random data:
// unless there are updates, which are there to change the numbers. lora_test has those.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/placed/placed_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/text.h"
#include "passes/pipeline.h"
#include "tests/support/eval.h"
#include "tests/support/paths.h"
#include "tools/debug/random_data.h"

namespace sluice {
namespace {

struct Case {
  std::vector<std::string> passes;
  bool on_cpu = false;
  ValueRanges ranges;
  SymbolValues bucket;
  std::vector<LowRankUpdate> updates;
  std::vector<std::string> places;
  int64_t layers = -1;
  std::vector<std::string> refused;
  std::string input, expected;
};

std::string ReadAll(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

LowRankUpdate ParseUpdate(absl::string_view text) {
  const std::vector<std::string> words = absl::StrSplit(text, ' ');
  const std::string stem = words.at(0) + words.at(1);
  return {.weight = words.at(0),
          .a = stem + "_a",
          .b = stem + "_b",
          .a_type = TypeFromText(words.at(2)),
          .b_type = TypeFromText(words.at(3)),
          .factor = std::stod(words.at(4))};
}

Case ParseCase(const std::string& content) {
  Case result;
  const std::pair<std::string, std::string> halves =
      absl::StrSplit(content, absl::MaxSplits("----\n", 1));
  result.expected = halves.second;
  for (absl::string_view line : absl::StrSplit(halves.first, '\n')) {
    if (absl::ConsumePrefix(&line, "// passes: ")) {
      result.passes = absl::StrSplit(line, ',', absl::SkipEmpty());
    } else if (absl::ConsumePrefix(&line, "// backend: ")) {
      result.on_cpu = line == "cpu";
    } else if (absl::ConsumePrefix(&line, "// range ")) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      result.ranges[words.at(0)] = {std::stoi(words.at(1)), std::stoi(words.at(2))};
    } else if (absl::ConsumePrefix(&line, "// bound ")) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      result.bucket.Set(words.at(0), std::stoi(words.at(1)));
    } else if (absl::ConsumePrefix(&line, "// place ")) {
      result.places.emplace_back(line);
    } else if (absl::ConsumePrefix(&line, "// layers ")) {
      result.layers = std::stoi(std::string(line));
    } else if (absl::ConsumePrefix(&line, "// lora ")) {
      result.updates.push_back(ParseUpdate(line));
    } else if (absl::ConsumePrefix(&line, "// refused: ")) {
      result.refused.emplace_back(line);
    }
  }
  result.input = halves.first;
  return result;
}

// nullptr where the case says nothing of placement.
std::unique_ptr<Backend> PlacedBackendFor(const Case& test) {
  if (test.places.empty() && test.layers < 0) return nullptr;
  Placement placement{.layers = test.layers};
  placement.devices.push_back(MakeRefBackend());
  placement.devices.push_back(MakeCpuBackend({.threads = 2}));
  for (const std::string& text : test.places) placement.rules.push_back(*ParsePlaceRule(text));
  return *MakePlacedBackend(std::move(placement));
}

absl::StatusOr<Graph> RunCase(const Case& test, Graph graph, std::vector<std::string>* refused) {
  const std::unique_ptr<Backend> cpu = MakeCpuBackend({.threads = 2});
  CompileContext context{.bucket = test.bucket, .updates = test.updates};
  context.explain = [&](const std::string& what) { refused->push_back(what); };
  if (test.on_cpu) {
    context.caps = &cpu->caps();
    context.kernels = cpu->kernels();
  }
  const std::unique_ptr<Backend> placed = PlacedBackendFor(test);
  if (placed != nullptr) context.placement = placed->placement();
  std::vector<Pass> passes;
  for (const std::string& name : test.passes) {
    const Pass* pass = FindPass(name);
    if (pass == nullptr) return absl::NotFoundError(absl::StrCat("no pass ", name));
    passes.push_back(*pass);
  }
  if (absl::Status status = RunPasses(passes, context, {}, &graph); !status.ok()) return status;
  return graph;
}

class PassGolden : public testing::TestWithParam<std::string> {};

TEST_P(PassGolden, TextAndNumbersAgree) {
  const Case test = ParseCase(ReadAll(GetParam()));
  ASSERT_FALSE(test.passes.empty());
  absl::StatusOr<Graph> before = Parse(test.input, GetParam());
  ASSERT_TRUE(before.ok()) << before.status();
  std::vector<std::string> refused;
  absl::StatusOr<Graph> after = RunCase(test, before->Clone(), &refused);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(Print(*after), test.expected);
  EXPECT_EQ(refused, test.refused);
  absl::StatusOr<Graph> reread = Parse(Print(*after));
  ASSERT_TRUE(reread.ok()) << reread.status();
  EXPECT_EQ(Print(*reread), Print(*after));
  if (!test.updates.empty()) return;

  for (const SymbolDef& symbol : after->symbols()) {  // the same sizes for both
    ASSERT_TRUE(before->SetBound(symbol.name, symbol.bound).ok());
  }
  const std::unique_ptr<Backend> ref = MakeRefBackend();
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    auto data = RandomData::Make(*before, seed, test.ranges);
    ASSERT_TRUE(data.ok()) << data.status();
    auto expected = data->Run(*ref, *before);
    auto got = data->Run(*ref, *after);
    ASSERT_TRUE(expected.ok()) << expected.status();
    ASSERT_TRUE(got.ok()) << got.status();
    // The reference adds in the same order before and after: only roundings to float32 of values
    // that a fusion keeps to itself may differ, 2^-24 relative each, squared about 4e-15.
    EXPECT_LT(Nmse(*expected, *got), 1e-13) << "seed " << seed;
  }
}

std::vector<std::string> CaseFiles() {
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(SLUICE_SOURCE_DIR "/tests/passes/cases")) {
    if (entry.path().extension() == ".ir") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

INSTANTIATE_TEST_SUITE_P(All, PassGolden, testing::ValuesIn(CaseFiles()), [](const auto& test) {
  return std::filesystem::path(test.param).stem().string();
});

}  // namespace
}  // namespace sluice
