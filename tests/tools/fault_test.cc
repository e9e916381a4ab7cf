// What happens when the system fails: every n-th call of each kind in turn, and death at any
// moment. Never a crash; one line that names the file and the call; the old file or the new one,
// whole, and nothing beside it. `tools_tests --only=tools/fault_test.cc --full` kills more often.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <regex>
#include <set>
#include <system_error>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "models/files/gguf_writer.h"
#include "tests/support/arguments.h"
#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// A kind of call, an error that it may give, and what a message about it says.
struct Call {
  const char* name;
  int error;
  const char* words;
};
constexpr Call kCalls[] = {
    {"open", EMFILE, "open"},       {"write", EIO, "write"},
    {"write", ENOSPC, "write"},     {"fsync", EIO, "fsync"},
    {"rename", EIO, "rename"},      {"linkat", EIO, "linkat"},
    {"ftruncate", EIO, "truncate"}, {"mmap", ENOMEM, "mmap|memory"},
    {"read", EIO, "read"},          {"malloc", ENOMEM, "allocate|memory for"},
};

// Of a large file, whose end is a hole, the length and the first part.
std::string Read(const std::string& path) {
  constexpr uintmax_t kMost = 16 << 20;
  std::error_code none;
  const uintmax_t size = fs::file_size(path, none);
  if (none) return "";
  std::ifstream in(path, std::ios::binary);
  std::string bytes(std::min(size, kMost), '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return size > kMost ? absl::StrCat(size, " bytes: ", bytes) : bytes;
}

// Every call of the first, then fewer and fewer: a long tail is more of the same.
int Next(int at) { return at + 1 + at / 10; }

struct Counts {
  int failed = 0;    // with a message
  int absorbed = 0;  // the program did its work in spite of it
};

class Fault : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_);
    // Large enough for allocations that count; zeros, which take no room.
    GgufWriter writer;
    writer.SetString("general.architecture", "llama");
    writer.SetU32("llama.block_count", 1);
    writer.AddTensor("token_embd.weight", DType::kF32, {2048, 1024});
    writer.AddTensor("output_norm.weight", DType::kF32, {1024});
    ASSERT_EQ(writer.Write(model_), absl::OkStatus());
  }
  void TearDown() override { fs::remove_all(base_); }

  std::vector<std::string> Environment(const Call& call, int at) const {
    return {"LD_PRELOAD=" SLUICE_FAILING_CALLS, absl::StrCat("SLUICE_FAIL_CALL=", call.name),
            absl::StrCat("SLUICE_FAIL_AT=", at), absl::StrCat("SLUICE_FAIL_ERRNO=", call.error),
            absl::StrCat("SLUICE_FAIL_REPORT=", report_)};
  }

  // The one line of a failure: of the program, with the file that the call was about.
  void CheckMessage(const Call& call, const std::string& errors) const {
    std::vector<std::string> lines;
    for (const absl::string_view line : absl::StrSplit(errors, '\n', absl::SkipEmpty())) {
      if (absl::StartsWith(line, "sluice: ")) lines.emplace_back(line);
    }
    ASSERT_EQ(lines.size(), 1U) << errors;
    EXPECT_TRUE(std::regex_search(lines[0], std::regex(call.words))) << lines[0];
    std::string file = Read(report_);
    // Of the new file before it has its name, and of the folder, the user knows only the name.
    if (absl::EndsWith(file, "(deleted)") || absl::EndsWith(file, ".partial") || file == folder_) {
      file = target_;
    }
    if (file == "memory") return;
    EXPECT_THAT(lines[0], HasSubstr(fs::path(file).filename().string()));
  }

  // Runs the program with arguments that write `target_`, over an old file and anew, until nothing
  // fails any more.
  Counts FailEach(const std::vector<std::string>& arguments,
                  const std::vector<std::string>& environment = {}) {
    EXPECT_EQ(Program(arguments).Finish(), 0);
    const std::string expected = Read(target_), old = "the old file";
    Counts counts;
    for (const bool replaces : {true, false}) {
      for (const Call& call : kCalls) {
        for (int at = 1;; at = Next(at)) {
          SCOPED_TRACE(absl::StrCat(call.name, " ", at, replaces ? ", old file" : ""));
          fs::remove_all(folder_);
          fs::create_directories(folder_);
          if (replaces) std::ofstream(target_) << old;
          fs::remove(report_);
          std::vector<std::string> variables = Environment(call, at);
          variables.insert(variables.end(), environment.begin(), environment.end());
          Program program(arguments, variables);
          const int code = program.Finish();
          if (!fs::exists(report_)) {
            EXPECT_EQ(code, 0) << program.errors();
            break;
          }
          const bool exists = fs::exists(target_);
          const std::string got = Read(target_);
          if (code == 0) {
            ++counts.absorbed;
            EXPECT_TRUE(got == expected);
          } else {
            ++counts.failed;
            EXPECT_EQ(code, 1);
            CheckMessage(call, program.errors());
            EXPECT_TRUE(replaces ? got == old || got == expected : !exists || got == expected);
          }
          EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), exists ? 1 : 0);
          if (HasFailure() || at > 1000) return counts;
        }
      }
    }
    return counts;
  }
  void Record(const std::string& name, const Counts& counts) {
    std::cout << name << ": " << counts.failed << " failures told, " << counts.absorbed
              << " absorbed\n";
    EXPECT_GT(counts.failed, 0);
  }

  const std::string base_ = absl::StrCat(testing::TempDir(), "sluice.fault.", getpid());
  const std::string folder_ = base_ + "/out", target_ = folder_ + "/target.gguf";
  const std::string model_ = base_ + "/model.gguf", report_ = base_ + "/report";
};

TEST_F(Fault, Quantize) {
  const std::vector<std::string> arguments = {"quantize", model_, target_, "Q8_0", "-t", "2"};
  Record("quantize", FailEach(arguments));
  Record("quantize without unnamed files", FailEach(arguments, {"SLUICE_NO_TMPFILE=1"}));
}

TEST_F(Fault, Gguf) {
  const std::string model = TestDataDir() + "/models/llama.Q4_0.gguf";
  Record("gguf --set", FailEach({"gguf", model, target_, "--set", "general.name=other"}));
}

TEST_F(Fault, MakeModel) {
  Record("make-model",
         FailEach({"make-model", "mixtral-8x7b", target_, "--layers", "1", "--metadata-only"}));
}

// The embedded model, whose weights get packed, and a file.
TEST_F(Fault, Run) {
  std::ofstream(base_ + "/prompt") << "Once";
  const std::string small = TestDataDir() + "/stories260k/stories260k.gguf";
  Counts counts;
  for (const std::string& model : {std::string(), small}) {
    for (const Call& call : kCalls) {
      for (int at = 1;; at = Next(at)) {
        SCOPED_TRACE(absl::StrCat(model, " ", call.name, " ", at));
        fs::remove(report_);
        std::vector<std::string> arguments = {"run", "-f", base_ + "/prompt", "-n", "2", "-c", "64",
                                              "-t",  "1",  "--temp",          "0"};
        if (!model.empty()) arguments.insert(arguments.begin() + 1, model);
        Program program(arguments, Environment(call, at));
        const int code = program.Finish();
        if (!fs::exists(report_)) {
          EXPECT_EQ(code, 0) << program.errors();
          break;
        }
        if (code == 0) {
          ++counts.absorbed;
          EXPECT_FALSE(program.output().empty());
        } else {
          ++counts.failed;
          EXPECT_EQ(code, 1);
          CheckMessage(call, program.errors());
        }
        if (HasFailure() || at > 1000) return;
      }
    }
  }
  Record("run", counts);
}

// Tables of 32000 tokens, whose size is a file's to say.
TEST_F(Fault, Vocabulary) {
  const std::string model = base_ + "/mixtral.gguf";
  ASSERT_EQ(
      Program({"make-model", "mixtral-8x7b", model, "--layers", "1", "--metadata-only"}).Finish(),
      0);
  const Call allocation = kCalls[std::size(kCalls) - 1];
  Counts counts;
  for (int at = 1;; at = Next(at)) {
    SCOPED_TRACE(at);
    fs::remove(report_);
    Program program({"tokenize", model, "-p", "a"}, Environment(allocation, at));
    const int code = program.Finish();
    if (!fs::exists(report_)) break;
    ++counts.failed;
    ASSERT_EQ(code, 1);
    CheckMessage(allocation, program.errors());
    EXPECT_THAT(program.errors(), HasSubstr("mixtral.gguf"));
  }
  Record("tokenize", counts);
}

// The answer to one request; "" if the connection breaks.
std::string Ask(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    const std::string body = R"({"prompt": "Once", "max_tokens": 2, "temperature": 0})";
    const std::string request = absl::StrCat(
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nContent-Length: ",
        body.size(), "\r\n\r\n", body);
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
      char part[1 << 12];
      for (ssize_t n; (n = recv(fd, part, sizeof part, 0)) > 0;) {
        answer.append(part, static_cast<size_t>(n));
      }
    }
  }
  close(fd);
  return answer;
}

TEST_F(Fault, Serve) {
  const std::string model = TestDataDir() + "/stories260k/stories260k.gguf";
  Counts counts;
  for (const Call& call : kCalls) {
    for (int at = 1;; at = Next(at)) {
      SCOPED_TRACE(absl::StrCat(call.name, " ", at));
      fs::remove(report_);
      Program program({"serve", model, "--port", "0", "-np", "1", "-c", "64", "-t", "1"},
                      Environment(call, at));
      program.AwaitError("ready\n");
      std::smatch port;
      const std::string told = program.errors();
      std::string answer;
      if (absl::StrContains(told, "ready\n") &&
          std::regex_search(told, port, std::regex("listening on http://[^:]*:([0-9]+)"))) {
        answer = Ask(std::stoi(port[1]));
        program.Interrupt();
      }
      const int code = program.Finish();
      if (!fs::exists(report_)) {
        EXPECT_EQ(code, 0) << program.errors();
        EXPECT_THAT(answer, HasSubstr(" 200 "));
        break;
      }
      if (code == 0) {
        ++counts.absorbed;
        EXPECT_THAT(answer, HasSubstr("HTTP/1.1 "));
      } else {
        ++counts.failed;
        EXPECT_EQ(code, 1);
        CheckMessage(call, program.errors());
      }
      if (HasFailure() || at > 1000) return;
    }
  }
  Record("serve", counts);
}

bool IsFull() {
  const auto& arguments = TestArguments();
  return std::find(arguments.begin(), arguments.end(), "--full") != arguments.end();
}

// In turn with and without files that have no name; what a killed one leaves goes the next time.
TEST_F(Fault, DeathAtAnyMomentLeavesTheOldFileOrTheNewOne) {
  const std::vector<std::string> arguments = {"quantize", model_, target_, "Q8_0", "-t", "2"};
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(Program(arguments).Finish(), 0);
  const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - start;
  const std::string expected = Read(target_), old = "the old file";
  std::mt19937 random(1);
  std::uniform_real_distribution<double> moment(0, 1.1 * whole.count());
  int news = 0, olds = 0, left_over = 0;
  for (int i = 0; i < (IsFull() ? 100 : 15); ++i) {
    std::ofstream(target_) << old;
    std::vector<std::string> environment;
    if (i % 2 == 1) environment = {"LD_PRELOAD=" SLUICE_FAILING_CALLS, "SLUICE_NO_TMPFILE=1"};
    Program program(arguments, environment);
    std::this_thread::sleep_for(std::chrono::duration<double>(moment(random)));
    program.Kill();
    program.Finish();
    const std::string got = Read(target_);
    ASSERT_TRUE(got == old || got == expected) << got.size() << " bytes";
    ++(got == old ? olds : news);
    left_over += static_cast<int>(std::distance(fs::directory_iterator(folder_), {})) - 1;
  }
  ASSERT_EQ(Program(arguments).Finish(), 0);
  EXPECT_TRUE(Read(target_) == expected);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
  std::cout << olds << " old, " << news << " new, " << left_over << " partial files until then\n";
}

}  // namespace
}  // namespace sluice
