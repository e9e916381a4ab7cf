#include "tests/support/ir_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "tests/support/paths.h"

namespace sluice {

std::vector<std::string> IrFiles(absl::string_view subfolder) {
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(absl::StrCat(TestDataDir(), "/ir/", subfolder))) {
    files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string ReadIrFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string ToyGraphText() { return ReadIrFile(TestDataDir() + "/ir/toy.ir"); }

std::string IrTestName(const testing::TestParamInfo<std::string>& path) {
  return std::filesystem::path(path.param).stem().string();
}

}  // namespace sluice
