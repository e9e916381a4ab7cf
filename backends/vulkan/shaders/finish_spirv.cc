// finish_spirv IN.spv OUT.h NAME: what glslang made, as an array NAME of words to be compiled.
//
// Where a shader has cooperative matrices (coopmat.glsl), the operands of their types are constants
// that stand for what SPIR-V wants there: the bits of a type of floats, and the number of a
// specialisation constant. Both must be declared before the type, as all that a shader uses before
// its first matrix is.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace {

enum Op : uint32_t {
  kTypeFloat = 22,
  kConstant = 43,
  kSpecConstant = 50,
  kDecorate = 71,
  kTypeCooperativeMatrixKHR = 4456,
};
constexpr uint32_t kSpecIdDecoration = 1;
constexpr size_t kHeaderWords = 5;

using Ids = std::map<uint32_t, uint32_t>;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "finish_spirv: %s\n", what.c_str());
  std::exit(1);
}

uint32_t Lookup(const Ids& ids, uint32_t key, const std::string& what) {
  const auto found = ids.find(key);
  if (found == ids.end()) Fail("no " + what + " " + std::to_string(key));
  return found->second;
}

std::vector<uint32_t> Read(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  std::vector<uint32_t> words;
  for (size_t i = 0; i + 4 <= bytes.size(); i += 4) {
    const auto byte = [&](size_t j) { return uint32_t{static_cast<uint8_t>(bytes[i + j])}; };
    words.push_back(byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24);
  }
  if (words.size() < kHeaderWords) Fail(std::string("no SPIR-V in ") + path);
  return words;
}

void FinishMatrixTypes(std::vector<uint32_t>* words) {
  // What has been declared: types by bits, specialisation constants by number, values by id.
  Ids float_types, spec_constants, constants;
  Ids spec_ids;  // numbers by id, which are told before constants are declared
  for (size_t i = kHeaderWords; i < words->size();) {
    uint32_t* op = words->data() + i;
    const uint32_t count = op[0] >> 16;
    if (count == 0 || i + count > words->size()) Fail("a broken instruction");
    switch (op[0] & 0xffffU) {
      case kTypeFloat:
        float_types[op[2]] = op[1];
        break;
      case kConstant:
        constants[op[2]] = op[3];
        break;
      case kDecorate:
        if (op[2] == kSpecIdDecoration) spec_ids[op[1]] = op[3];
        break;
      case kSpecConstant:
        if (const auto id = spec_ids.find(op[2]); id != spec_ids.end()) {
          spec_constants[id->second] = op[2];
        }
        break;
      case kTypeCooperativeMatrixKHR:  // result, component, scope, rows, columns, use
        op[2] = Lookup(float_types, Lookup(constants, op[2], "constant"), "float type of bits");
        for (const size_t side : {4, 5}) {
          op[side] = Lookup(spec_constants, Lookup(constants, op[side], "constant"),
                            "specialisation constant");
        }
        break;
      default:
        break;
    }
    i += count;
  }
}

void Write(const std::vector<uint32_t>& words, const char* path, const char* name) {
  std::FILE* file = std::fopen(path, "w");
  if (file == nullptr) Fail(std::string("cannot write ") + path);
  std::fprintf(file, "#pragma once\n#include <cstdint>\nconst uint32_t %s[] = {", name);
  for (size_t i = 0; i < words.size(); ++i) {
    std::fprintf(file, "%s0x%08x,", i % 8 == 0 ? "\n" : "", words[i]);
  }
  std::fputs("\n};\n", file);
  if (std::fclose(file) != 0) Fail(std::string("cannot write ") + path);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) Fail("expected IN.spv OUT.h NAME");
  std::vector<uint32_t> words = Read(argv[1]);
  FinishMatrixTypes(&words);
  Write(words, argv[2], argv[3]);
}
