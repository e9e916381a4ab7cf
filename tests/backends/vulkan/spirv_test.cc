// The shaders as they are in the program, by the validator of SPIR-V; skipped where there is none
// (Debian: spirv-tools), or, of one shader, where it is too old for it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backends/vulkan/spirv.h"

namespace sluice::vulkan {
namespace {

struct Outcome {
  int status;
  std::string output;
};

Outcome RunCommand(const std::string& command) {
  std::FILE* pipe = popen(absl::StrCat(command, " 2>&1").c_str(), "r");
  if (pipe == nullptr) return {-1, "cannot run a shell"};
  std::string output;
  char buffer[256];
  while (std::fgets(buffer, sizeof(buffer), pipe) != nullptr) output += buffer;
  return {pclose(pipe), output};
}

std::vector<std::string> Names() {
  const std::vector<absl::string_view> names = ShaderNames();
  return {names.begin(), names.end()};
}

class Spirv : public testing::TestWithParam<std::string> {};

TEST_P(Spirv, IsValid) {
  if (RunCommand("spirv-val --version").status != 0) {
    GTEST_SKIP() << "no spirv-val (Debian: spirv-tools)";
  }
  const absl::Span<const uint32_t> words = FindShader(GetParam());
  ASSERT_FALSE(words.empty());
  const std::string path = absl::StrCat(testing::TempDir(), GetParam(), ".", getpid(), ".spv");
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(words.data()),
             static_cast<std::streamsize>(words.size() * sizeof(uint32_t)));
  const Outcome outcome = RunCommand(absl::StrCat("spirv-val --target-env vulkan1.3 ", path));
  std::filesystem::remove(path);
  // CooperativeMatrixKHR, which validators of 2023 do not know.
  if (absl::StrContains(outcome.output, "Invalid capability operand: 6022")) {
    GTEST_SKIP() << "this spirv-val is older than SPV_KHR_cooperative_matrix";
  }
  EXPECT_EQ(outcome.status, 0) << outcome.output;
}

INSTANTIATE_TEST_SUITE_P(All, Spirv, testing::ValuesIn(Names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace sluice::vulkan
