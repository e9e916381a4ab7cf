// What `sluice bench` measures, measured of llama.cpp: one test, with flags and JSON of the same
// names.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "bench/peers/llama_api.h"
#include "graph/status_macros.h"

namespace sluice::peers {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Options {
  std::string libraries, model;
  int32_t prompt = 0, generation = 0, depth = 0, parallel = 1;
  int32_t batch = 512, threads = 1, repetitions = 3;

  // Tokens that a sequence gets in a repetition.
  int32_t count() const { return prompt + generation; }
  // Those that speed counts: of requests, which have both, the ones generated.
  int32_t measured() const { return generation > 0 ? generation : prompt; }
};

// The arrays of a llama_batch.
class Batch {
 public:
  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }
  void Add(int32_t token, int32_t position, int32_t sequence, bool wants_logits) {
    tokens_.push_back(token);
    positions_.push_back(position);
    sequences_.push_back(sequence);
    wants_logits_.push_back(wants_logits ? 1 : 0);
  }
  // Runs the tokens added so far, and waits for the result.
  absl::Status Decode(const LlamaApi& api, LlamaContext* context) {
    std::vector<int32_t> ones(tokens_.size(), 1);
    std::vector<int32_t*> lists;
    for (int32_t& sequence : sequences_) lists.push_back(&sequence);
    const LlamaBatch batch = {.n_tokens = static_cast<int32_t>(tokens_.size()),
                              .tokens = tokens_.data(),
                              .positions = positions_.data(),
                              .n_seq_ids = ones.data(),
                              .seq_ids = lists.data(),
                              .wants_logits = wants_logits_.data()};
    const int32_t result = api.decode(context, batch);
    api.synchronize(context);
    if (result == 0) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("llama_decode of ", tokens_.size(), " tokens returned ", result));
  }

 private:
  std::vector<int32_t> tokens_, positions_, sequences_;
  std::vector<int8_t> wants_logits_;
};

// A loaded model, ready to decode, and the test's sequences.
class Bench {
 public:
  Bench(const LlamaApi& api, const Options& options) : api_(api), options_(options) {}
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench();

  // Loads the model.
  absl::Status Open();
  // Fills the sequences up to the test's depth.
  absl::Status Prepare();
  // Appends a prompt and then generated tokens to each sequence, returns the seconds that all took
  // together, and takes the tokens away again.
  absl::StatusOr<double> Measure(int32_t prompt, int32_t generation);

 private:
  int32_t RandomToken() { return static_cast<int32_t>(random_() % vocabulary_); }
  absl::Status Prefill(int32_t begin, int32_t count);
  absl::Status Generate(int32_t begin, int32_t count);

  const LlamaApi& api_;
  const Options& options_;
  LlamaModel* model_ = nullptr;
  LlamaContext* context_ = nullptr;
  GgmlThreadPool* threads_ = nullptr;
  uint32_t vocabulary_ = 0;
  std::mt19937 random_{1234};
};

Bench::~Bench() {
  if (context_ != nullptr) api_.free(context_);
  if (threads_ != nullptr) api_.threadpool_free(threads_);
  if (model_ != nullptr) api_.model_free(model_);
}

absl::Status Bench::Open() {
  model_ = api_.model_load_from_file(options_.model.c_str(), api_.model_defaults);
  if (model_ == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("llama.cpp cannot load ", options_.model));
  }
  vocabulary_ = static_cast<uint32_t>(api_.vocab_n_tokens(api_.model_get_vocab(model_)));
  LlamaContextParams params = api_.context_defaults;
  // A sequence's share of the cache is a multiple of 256 positions.
  constexpr int32_t kCacheStep = 256;
  const int32_t length = options_.depth + options_.count();
  const int32_t rounded = (length + kCacheStep - 1) / kCacheStep * kCacheStep;
  params.n_ctx = static_cast<uint32_t>(options_.parallel * rounded);
  params.n_batch = params.n_ubatch = static_cast<uint32_t>(options_.batch);
  params.n_seq_max = static_cast<uint32_t>(options_.parallel);
  params.n_threads = params.n_threads_batch = options_.threads;
  context_ = api_.init_from_model(model_, params);
  if (context_ == nullptr) {
    return absl::ResourceExhaustedError("llama.cpp cannot make a context for this test");
  }
  // Without a pool of its own it would start its threads anew for every step.
  alignas(16) std::array<std::byte, 1024> pool = {};
  api_.threadpool_params_init(pool.data(), options_.threads);
  threads_ = api_.threadpool_new(pool.data());
  if (threads_ == nullptr) return absl::InternalError("llama.cpp cannot start its threads");
  api_.attach_threadpool(context_, threads_, nullptr);
  return absl::OkStatus();
}

absl::Status Bench::Prefill(int32_t begin, int32_t count) {
  Batch batch;
  for (int32_t sequence = 0; sequence < options_.parallel; ++sequence) {
    for (int32_t i = 0; i < count; ++i) {
      batch.Add(RandomToken(), begin + i, sequence, i + 1 == count);
      if (batch.size() < options_.batch) continue;
      SLUICE_RETURN_IF_ERROR(batch.Decode(api_, context_));
      batch = {};
    }
  }
  return batch.size() > 0 ? batch.Decode(api_, context_) : absl::OkStatus();
}

absl::Status Bench::Generate(int32_t begin, int32_t count) {
  for (int32_t i = 0; i < count; ++i) {
    Batch batch;
    for (int32_t sequence = 0; sequence < options_.parallel; ++sequence) {
      batch.Add(RandomToken(), begin + i, sequence, true);
    }
    SLUICE_RETURN_IF_ERROR(batch.Decode(api_, context_));
  }
  return absl::OkStatus();
}

absl::Status Bench::Prepare() { return Prefill(0, options_.depth); }

absl::StatusOr<double> Bench::Measure(int32_t prompt, int32_t generation) {
  const Clock::time_point start = Clock::now();
  SLUICE_RETURN_IF_ERROR(Prefill(options_.depth, prompt));
  // A prompt's logits give the first of the tokens.
  const int32_t steps = prompt > 0 ? std::max(generation - 1, 0) : generation;
  SLUICE_RETURN_IF_ERROR(Generate(options_.depth + prompt, steps));
  const double seconds = SecondsSince(start);
  LlamaMemory* memory = api_.get_memory(context_);
  for (int32_t sequence = 0; sequence < options_.parallel; ++sequence) {
    if (!api_.memory_seq_rm(memory, sequence, options_.depth, -1)) {
      return absl::InternalError("llama.cpp cannot shorten a sequence");
    }
  }
  return seconds;
}

// Of this process since it runs this program, unlike that of getrusage.
int64_t PeakBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes << 10;
  }
  return 0;
}

absl::Status Run(const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const LlamaApi api, LlamaApi::Load(options.libraries));
  Bench bench(api, options);
  const Clock::time_point start = Clock::now();
  SLUICE_RETURN_IF_ERROR(bench.Open());
  const double load = SecondsSince(start);
  SLUICE_RETURN_IF_ERROR(bench.Prepare());
  SLUICE_RETURN_IF_ERROR(bench.Measure(options.prompt, std::min(options.generation, 4)).status());
  std::vector<double> samples;
  for (int i = 0; i < options.repetitions; ++i) {
    SLUICE_ASSIGN_OR_RETURN(const double seconds,
                            bench.Measure(options.prompt, options.generation));
    samples.push_back(options.parallel * options.measured() / seconds);
  }
  const nlohmann::ordered_json result = {{"backend", api.cpu_backend},
                                         {"version", api.version()},
                                         {"n_threads", options.threads},
                                         {"n_ubatch", options.batch},
                                         {"n_prompt", options.prompt},
                                         {"n_gen", options.generation},
                                         {"n_depth", options.depth},
                                         {"n_parallel", options.parallel},
                                         {"load_s", load},
                                         {"peak_rss", PeakBytes()},
                                         {"samples_ts", samples}};
  std::cout << nlohmann::ordered_json::array({result}).dump(2) << "\n";
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Measures one test of llama.cpp, as `sluice bench` does of Sluice");
  const auto sizes = CLI::Range(0, 1 << 20);
  const auto counts = CLI::Range(1, 1 << 16);
  app.add_option("LIBRARIES", options.libraries, "folder of libllama.*.so")->required();
  app.add_option("-m,--model", options.model, "GGUF file")->required();
  app.add_option("-p,--n-prompt", options.prompt, "prompt tokens of each sequence")->check(sizes);
  app.add_option("-n,--n-gen", options.generation, "tokens to generate after them")->check(sizes);
  app.add_option("-d,--n-depth", options.depth, "tokens in each context before")->check(sizes);
  app.add_option("--parallel", options.parallel, "sequences")->check(counts);
  app.add_option("-b,--batch-size", options.batch, "prompt tokens of one step")->check(counts);
  app.add_option("-t,--threads", options.threads, "threads")->check(counts);
  app.add_option("-r,--repetitions", options.repetitions, "runs of the test")->check(counts);
  CLI11_PARSE(app, argc, argv);
  if (options.count() == 0) {
    std::cerr << "llama_bench: nothing to do: expected -p N, -n N or both\n";
    return 2;
  }
  const absl::Status status = Run(options);
  if (status.ok()) return 0;
  std::cerr << "llama_bench: " << status.message() << "\n";
  return 1;
}

}  // namespace
}  // namespace sluice::peers

int main(int argc, char** argv) { return sluice::peers::Main(argc, argv); }
