// libFuzzer target: any bytes are rejected with a message or can be read to the end.
// The seed corpus is tests/data/hostile.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "models/files/gguf.h"
#include "tests/support/source_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file =
      sluice::GgufFile::FromMemory({reinterpret_cast<const std::byte*>(data), size}, "fuzz");
  if (!file.ok()) return 0;
  const std::string wrong = sluice::WalkSource(**file);
  if (wrong.empty()) return 0;
  std::fprintf(stderr, "%s\n", wrong.c_str());
  std::abort();
}
