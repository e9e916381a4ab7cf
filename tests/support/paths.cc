#include "tests/support/paths.h"

#include <filesystem>

namespace sluice {

std::string TestDataDir() { return SLUICE_SOURCE_DIR "/tests/data"; }

std::string ConformanceDir() {
  const std::string dir = SLUICE_SOURCE_DIR "/../shared/conformance";
  std::error_code error;
  return std::filesystem::is_directory(dir, error) ? dir : "";
}

}  // namespace sluice
