// Names of tests over models of tests/data.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>

namespace sluice {

// "" is the embedded model. Test names are of letters and digits.
inline std::string ModelTestName(const testing::TestParamInfo<const char*>& info) {
  std::string name = *info.param != '\0' ? info.param : "embedded";
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
  return name;
}

}  // namespace sluice
