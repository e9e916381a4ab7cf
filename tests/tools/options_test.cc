// How command lines are read: a table of lines, their exit codes and what they say. What cannot
// act, is no number or names nothing is an error that names it, whatever the command.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr int kFailed = 1;

struct Line {
  std::string arguments;  // with blanks between; '' is an empty one
  int code;
  std::string message;  // in what it says on stderr
};

std::vector<std::string> Split(const std::string& line) {
  std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  for (std::string& word : words) {
    if (word == "''") word.clear();
    word = absl::StrReplaceAll(
        word, {{"MODELS", TestDataDir() + "/models"}, {"IR", TestDataDir() + "/ir"}});
  }
  return words;
}

void Check(const std::vector<Line>& lines) {
  for (const Line& line : lines) {
    SCOPED_TRACE(line.arguments);
    Program program(Split(line.arguments));
    EXPECT_EQ(program.Finish(), line.code) << program.errors();
    EXPECT_THAT(program.errors(), HasSubstr(line.message));
    if (line.code == 0) continue;
    EXPECT_THAT(absl::StrCat("\n", program.errors()), HasSubstr("\nsluice: "));
  }
}

TEST(Options, NumbersAreWholeAndFitTheirType) {
  Check({
      {"run -s 99999999999999999999 -n 1", 2, "'99999999999999999999', which does not fit"},
      {"run -s -99999999999999999999 -n 1", 2, "does not fit into 64 bits"},
      {"bench --buckets 1,,4", 2, "bench: --buckets: an entry of '1,,4' is empty"},
      {"bench --buckets=1,4,", 2, "an entry of '1,4,' is empty"},
      {"run -n 1e3", 2, "--n-predict: expected a whole number, got '1e3'"},
      {"run -n 12x", 2, "got '12x'"},
      {"run -n 0x10", 2, "got '0x10'"},
      {"run -n 1.5", 2, "got '1.5'"},
      {"run -n ''", 2, "got ''"},
      {"run -t 4294967297", 2, "not in range"},
      {"run --temp nan", 2, "--temp: expected a finite number, got 'nan'"},
      {"run --temp inf", 2, "got 'inf'"},
      {"run --temp 1e999", 2, "got '1e999'"},
      {"run --temp 0x1p3", 2, "got '0x1p3'"},
      {"run --temp 0.5x", 2, "got '0.5x'"},
      {"run --top-p ''", 2, "got ''"},
      {"bench-serve --rate nan", 2, "got 'nan'"},
      {"bench -p 8,x", 2, "got 'x'"},
      {"bench -r 1 -b 99999999999999999999", 2, "does not fit"},
      {"make-model qwen3-0.6b OUT -s -1", 2, "expected a whole number from 0 on, got '-1'"},
      {"make-model qwen3-0.6b OUT -s 18446744073709551616", 2, "does not fit"},
      {"verify --tolerance -1", 2, "--tolerance"},
      {"verify --tolerance 0", 2, "--tolerance"},
      {"verify -c -5", 2, "--ctx-size"},
      {"profile --rows -1", 2, "from 0 on"},
      {"bench-serve --soak 1 --warm-up -1", 2, "--warm-up"},
  });
}

TEST(Options, TextsListsAndFlags) {
  Check({
      {"dump --after ''", 2, "--after: is empty"},
      {"dump -m ''", 2, "is empty"},
      {"run --json-schema ''", 2, "--json-schema: is empty"},
      {"run -f ''", 2, "--file: is empty"},
      {"verify --ids ''", 2, "--ids: is empty"},
      {"embed -f ''", 2, "--file: is empty"},
      {"tokenize -p ''", 0, ""},
      // What would leave the server open, or closed to all.
      {"serve --api-key ''", 2, "--api-key: is empty"},
      {"serve --api-key=", 2, "--api-key"},
      {"serve --api-key a --api-key b\tc", 2, "serve: an API key: it has a blank"},
      {"serve --api-key-file ''", 2, "--api-key-file: is empty"},
      {"serve --api-key-file /dev/null", 1, "/dev/null: there is no key in it"},
      {"serve --api-key-file MODELS/qwen2.F16.gguf", 1, ":1: this is no API key: it has a blank"},
      {"serve --allowed-hosts a.example:80", 2, "'a.example:80' is no name"},
      {"serve --cors-origins a.example", 2, "'a.example' is no origin"},
      {"dump --final=yes", 2, "final was given a disallowed flag override"},
      // A list is one argument; what comes after it is the next.
      {"bench -p 8 4", 1, "4: "},
      {"run --buckets 4 2 -n 1", 1, "2: "},
      {"dump --final --disable-pass eliminate_common eliminate_dead", 1, "eliminate_dead: "},
      {"diff a.ir b.ir --ignore nothing", 2, "expected one of"},
      {"run -n 1 -n 2", 2, "--n-predict"},
  });
}

TEST(Options, UnknownNamesHaveTheirNearest) {
  Check({
      {"rnu", 2, "unknown command 'rnu'; `sluice --help` lists them; did you mean 'run'?"},
      {"nonsense", 2, "unknown command 'nonsense'"},
      {"run --tmep 0", 2, "run: unknown option --tmep; did you mean '--temp'?"},
      {"run --buckts=4", 2, "did you mean '--buckets'?"},
      {"dump a.gguf b.gguf", 2, "'b.gguf' is one argument too many"},
      {"run --backend vulcan", 2, "did you mean 'vulkan'?"},
      {"ops matmull", 1, "did you mean 'matmul'?"},
      {"ops matmull", 1, "the ops are "},
      {"opt IR/models/llama.ir --passes canonicalize", 1, "did you mean 'canonicalise'?"},
      {"dump --after fuse_qvk", 1, "did you mean 'fuse_qkv'?"},
      {"dump --final --explain fuse_qvk", 1, "did you mean 'fuse_qkv'?"},
      {"dump --final --disable-pass fuse_qvk", 1, "did you mean 'fuse_qkv'?"},
      {"make-model qwen3-06b OUT", 2, "did you mean 'qwen3-0.6b'?"},
      {"quantize MODELS/qwen2.F16.gguf OUT Q4_KM", 2, "did you mean 'Q4_K_M'?"},
      {"quantize MODELS/qwen2.F16.gguf OUT Q8_0 --dry-run --tensor-type ffn=q5k", 1,
       "did you mean 'q5_k'?"},
      {"dump --format jsno", 2, "did you mean 'json'?"},
      {"run --chat --chat-template chatlm", 1, "did you mean 'chatml'?"},
      {"gguf MODELS/qwen2.F16.gguf OUT --set a:u23=1", 1, "did you mean 'u32'?"},
  });
}

TEST(Options, WhatCannotActIsAnError) {
  Check({
      {"dump --place x=cpu", 2, "dump: --place acts only with --"},
      {"dump -ngl 1", 2, "dump: --gpu-layers acts only with --"},
      {"dump -t 1", 2, "dump: --threads acts only with --final"},
      {"dump --explain place", 2, "dump: --explain acts only with --final"},
      {"dump --disable-pass place", 2, "dump: --disable-pass acts only with --final"},
      {"dump --prepack-memory 0", 2, "where prepack_weights runs"},
      {"dump --after fuse_qkv --prepack-memory 0", 2, "where prepack_weights runs"},
      {"dump --before fuse_qkv --explain fuse_qkv", 2, "--explain fuse_qkv acts only if"},
      {"dump --after fuse_qkv --disable-pass plan_memory", 2, "--after fuse_qkv ends before it"},
      {"dump --final --explain place --disable-pass place", 2, "only without --disable-pass place"},
      {"dump --trace t.json", 2, "dump: --trace acts only with --format html"},
      {"dump --buckets 1", 2, "dump: unknown option --buckets"},
      {"run --device 0", 2, "run: --device acts only with --backend vulkan"},
      {"run --no-coopmat", 2, "run: --no-coopmat acts only with --backend vulkan"},
      {"run -ngl 1", 2, "run: --gpu-layers acts only with --backend vulkan"},
      {"bench --fallback", 2, "bench: --fallback acts only with --backend vulkan"},
      {"run --repeat-last-n 8", 2, "run: --repeat-last-n acts only with a --repeat-penalty"},
      {"run --draft-max 4", 2, "--draft-ngram"},
      {"run --draft-ngram 0 --draft-max 4", 2, "run: --draft-max acts only with --draft-ngram"},
      {"run --draft-ngram 3 --draft-max 8 -b 4", 2, "--batch-size acts only from 9 on"},
      {"run --system x", 2, "--chat"},
      {"run --json -j {}", 2, "--json"},
      {"opt IR/models/llama.ir --time", 2, "opt: --time acts only with --passes"},
      {"opt IR/models/llama.ir --bound t=1", 2, "opt: --bound acts only with specialise"},
      {"opt IR/models/llama.ir --passes eliminate_common --explain eliminate_dead", 2,
       "opt: --explain eliminate_dead acts only on a pass"},
      {"opt IR/models/llama.ir --passes eliminate_common --prepack-memory 1", 2,
       "with prepack_weights among"},
      {"opt IR/models/llama.ir --passes specialise --bound token=1", 2, "did you mean 'tokens'?"},
      {"opt IR/models/llama.ir --passes specialise --bound tokens=99999", 2, "expected 1 to "},
      {"opt IR/models/llama.ir --passes specialise --bound tokens=1 --bound tokens=2", 2,
       "--bound tokens is given twice"},
      {"verify IR/models/llama.ir --ids 1,2", 2, "verify: --ids acts only on a model, and "},
      {"verify IR/models/llama.ir -p text", 2, "verify: --prompt acts only on a model"},
      {"verify IR/models/llama.ir -c 8", 2, "verify: --ctx-size acts only on a model"},
      {"verify IR/models/llama.ir -ctk f32", 2, "verify: --cache-type-k acts only on a model"},
      {"verify IR/models/llama.ir --lora x.gguf", 2, "verify: --lora acts only on a model"},
      {"verify --ids 1,2,3 -c 2", 2, "verify: -c 2 has no room for the 3 tokens"},
      {"verify --seed 3", 2, "verify: --seed acts only on the random data of a graph"},
      {"verify --pass-by-pass --against cpu", 2, "--against acts only without --pass-by-pass"},
      {"verify --against none --tolerance 1e-3", 2, "--tolerance acts only where"},
      {"reduce IR/models/llama.ir --status --tolerance 1e-3", 2,
       "--tolerance acts only without --status"},
      {"tokenize --ids 1 --no-bos", 2, "tokenize: --no-bos acts only on text"},
      {"tokenize --ids 1 --parse-special", 2, "--parse-special acts only on text"},
      {"gguf MODELS/qwen2.F16.gguf OUT", 2, "gguf: OUT acts only with --set or --remove"},
      {"gguf MODELS/qwen2.F16.gguf OUT --remove a --json", 2, "--json acts only where the file"},
      {"gguf MODELS/qwen2.F16.gguf --set a=1", 2, "OUT"},
      {"make-model qwen3-0.6b OUT --metadata-only -s 2", 2, "--seed acts only without"},
      {"quantize MODELS/qwen2.F16.gguf OUT Q8_0 --dry-run -t 2", 2, "only without --dry-run"},
      {"quantize MODELS/qwen2.F16.gguf OUT Q8_0 --dry-run --tensor-type nope=q8_0", 2,
       "--tensor-type nope=q8_0 acts on no tensor"},
      {"bench -p 0 -n 1 -b 8", 2, "bench: --batch-size acts only on prompts"},
      {"bench -p 1 -n 0 --parallel 2", 2, "bench: --parallel acts only on -n"},
      {"bench-serve --pid 1", 2, "bench-serve: --pid acts only with --soak"},
      {"bench-serve --soak 1 --rate 2", 2, "bench-serve: --rate acts only without --soak"},
      {"profile --format json --rows 3", 2, "profile: --rows acts only with --format md"},
      {"serve --pooling mean --port 0", 2, "serve: --pooling acts only on encoders"},
  });
}

TEST(Options, SettingsOfAllCallsAreOnlyWarnedOf) {
  Check({
      {"run -p a -n 1 -t 1 --temp 0 -s 1", 0, "warning: run: --seed acts only above"},
      {"run -p a -n 1 -t 1 --temp 0 --top-k 4", 0, "warning: run: --top-k acts only above"},
      {"run -p a -n 1 --backend ref -t 1", 0, "warning: run: --threads acts only on the CPU"},
  });
}

// Options that do act are not complained of.
TEST(Options, WhatActsIsTaken) {
  Check({
      {"dump --after fuse_qkv --explain fuse_qkv -t 1", 0, ""},
      {"opt IR/models/llama.ir --passes specialise --bound tokens=1", 0, ""},
      {"opt IR/models/llama.ir --passes ''", 0, ""},
      {"run -p a -n 1 -t 1 -s -1 --temp 1e-1 --buckets 1,4", 0, ""},
      {"quantize MODELS/qwen2.F16.gguf OUT q8_0 --dry-run --tensor-type ffn=q4_0", 0, ""},
      {"make-model QWEN3-0.6b OUT", 2, "did you mean 'qwen3-0.6b'?"},
      {"gguf MODELS/qwen2.F16.gguf --json --full", 0, ""},
  });
}

TEST(Options, FilesOfTheWrongKindAreNamed) {
  const std::string folder = absl::StrCat(testing::TempDir(), "/options_test.", getpid());
  std::filesystem::create_directories(folder);
  const auto put = [&](const std::string& name, const std::string& content) {
    std::ofstream(absl::StrCat(folder, "/", name)) << content;
    return absl::StrCat(folder, "/", name);
  };
  const std::string lfs = put("lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  const std::string page = put("page", "\n<!DOCTYPE html>\n<html>");
  const std::string empty = put("empty", "");
  Check({
      {"run IR/models/llama.ir", kFailed,
       "not a model file: it is a graph in text form: `sluice opt`"},
      {"dump IR/forms/all.json", kFailed, "it is a graph as JSON"},
      {"quantize IR/models/llama.ir OUT Q8_0", kFailed, "it is a graph in text form"},
      {"gguf IR/models/llama.ir", kFailed, "not a GGUF file: it is a graph in text form"},
      {"diff IR/models/llama.ir MODELS/qwen2.F16.gguf", kFailed,
       "is no graph: it is a GGUF file: `sluice"},
      {"reduce MODELS/qwen2.F16.gguf", kFailed, "it is a GGUF file"},
      {"run " + lfs, kFailed, "`git lfs pull` fetches it"},
      {"opt " + page, kFailed, "is a web page"},
      {"run " + empty, kFailed, "the file is empty"},
      {"opt " + empty, kFailed, "is empty, expected a graph"},
  });
  std::filesystem::remove_all(folder);
}

std::string OutputOf(const std::vector<std::string>& arguments) {
  Program program(arguments);
  EXPECT_EQ(program.Finish(), 0) << program.errors();
  return program.output();
}

TEST(Help, EachCommandHasExamplesOfItsOwn) {
  std::vector<std::string> commands;
  bool below = false;
  for (const absl::string_view line : absl::StrSplit(OutputOf({"--help"}), '\n')) {
    if (below && line.size() > 2 && line[2] != ' ' && absl::StartsWith(line, "  ")) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      commands.push_back(words[0]);
    }
    below = (below || line == "Subcommands:") && !absl::StartsWith(line, "Examples");
  }
  EXPECT_EQ(commands.size(), 21);
  std::set<std::string> seen;
  for (const std::string& command : commands) {
    SCOPED_TRACE(command);
    const std::string help = OutputOf({command, "--help"});
    ASSERT_THAT(help, HasSubstr("Examples:\n"));
    std::vector<std::string> examples;
    const std::string footer = help.substr(help.find("Examples:\n"));
    for (const absl::string_view line : absl::StrSplit(footer, '\n')) {
      if (absl::StartsWith(line, "  sluice ")) examples.emplace_back(line);
    }
    EXPECT_GE(examples.size(), command == "devices" ? 1 : 2);
    EXPECT_LE(examples.size(), 5);
    EXPECT_THAT(footer, HasSubstr(absl::StrCat("sluice ", command)));
    for (const std::string& example : examples) EXPECT_TRUE(seen.insert(example).second) << example;
  }
}

TEST(Help, ListsLookAsTheyAreWritten) {
  const std::string help = OutputOf({"bench", "--help"});
  EXPECT_THAT(help, HasSubstr("--n-prompt INT,INT,..."));
  EXPECT_THAT(help, HasSubstr("--buckets INT,INT,..."));
  EXPECT_THAT(help, Not(HasSubstr(" ...\n")));
}

TEST(Help, VersionNamesWhatAReportNeeds) {
  const std::string version = OutputOf({"--version"});
  EXPECT_THAT(version,
              testing::MatchesRegex("sluice [0-9.]+, commit [0-9a-z]+\n"
                                    "(GNU|Clang) [0-9.]+, [A-Za-z]+\n"
                                    "oneDNN [0-9.]+\n"
                                    "kernels for [a-z0-9]+, on a processor with [a-z0-9 ]+\n"));
}

}  // namespace
}  // namespace sluice
