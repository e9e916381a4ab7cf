// The graph texts of tests/data/ir: `valid` ones as Print writes them, `hostile` ones that begin
// with a line "// expect: <part of the error>".
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice {

// Paths of the files in a subfolder, sorted.
std::vector<std::string> IrFiles(absl::string_view subfolder);
std::string ReadIrFile(const std::string& path);
// tests/data/ir/toy.ir: everything that the written forms can say, with the ops of toy_ops.h.
std::string ToyGraphText();
std::string IrTestName(const testing::TestParamInfo<std::string>& path);

}  // namespace sluice
