// LoRA adapters: what a model computes with one is what a model computes whose weights have the
// change in them, on every backend; and files that are none are refused.
#include "models/weights/lora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "backends/cpu/cpu_backend.h"
#include "backends/ref/ref_backend.h"
#include "graph/formats/dequantize.h"
#include "graph/formats/quantize.h"
#include "models/files/gguf_writer.h"
#include "models/model.h"
#include "runtime/session.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/paths.h"
#include "tools/debug/random_data.h"
#include "tools/engine/session.h"
#include "tools/inspect/memory.h"

namespace sluice {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

using Dims = std::vector<int64_t>;

int64_t Elements(const Dims& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

std::vector<float> Decode(DType dtype, const std::byte* blocks, int64_t elements) {
  std::vector<float> values(static_cast<size_t>(elements));
  DequantizerFor(dtype)(blocks, elements, values.data());
  return values;
}

// A change of the tensor NAME.weight by random numbers.
struct Change {
  std::string name;
  Dims a, b;
  DType dtype = DType::kF32;
  uint64_t seed = 1;
  std::vector<std::string> parts = {};  // the tensors that the model has in its place

  // About as large as to change the logits without drowning the model.
  std::vector<std::byte> BlocksA() const { return *RandomBlocks(dtype, Elements(a), seed, 0.2f); }
  std::vector<std::byte> BlocksB() const {
    return *RandomBlocks(dtype, Elements(b), seed + 1000, 0.1f);
  }
  bool is_table() const { return name == "token_embd"; }
};

Change ChangeOf(const StoredTensor& tensor, int64_t rank, DType dtype, uint64_t seed) {
  Change change{.name = std::string(absl::StripSuffix(tensor.name, ".weight")),
                .a = tensor.shape,
                .b = tensor.shape,
                .dtype = dtype,
                .seed = seed};
  change.b.back() = rank;
  if (change.is_table()) {
    change.a.back() = rank;
    change.b[0] = tensor.shape[1];
  } else {
    change.a[change.a.size() - 2] = rank;
  }
  return change;
}

struct Adapter {
  std::string architecture = "llama";
  float alpha = 0;  // 0: no such key
  std::vector<Change> changes = {};

  double Factor(const Change& change, double scale) const {
    return alpha != 0 ? scale * alpha / static_cast<double>(change.b.back()) : scale;
  }
};

GgufWriter::FillFn Copy(std::vector<std::byte> from) {
  return [from = std::move(from)](absl::Span<std::byte> out) {
    std::copy(from.begin(), from.end(), out.begin());
    return absl::OkStatus();
  };
}

// Ready to write, or to have something wrong put in first.
GgufWriter WriterOf(const Adapter& adapter) {
  GgufWriter writer;
  writer.SetString("general.type", "adapter");
  writer.SetString("general.architecture", adapter.architecture);
  writer.SetString("adapter.type", "lora");
  if (adapter.alpha != 0) writer.SetF32("adapter.lora.alpha", adapter.alpha);
  for (const Change& c : adapter.changes) {
    writer.AddTensor(c.name + ".weight.lora_a", c.dtype, c.a, Copy(c.BlocksA()));
    writer.AddTensor(c.name + ".weight.lora_b", c.dtype, c.b, Copy(c.BlocksB()));
  }
  return writer;
}

// A model's tensors as floats, with changes in them.
class MergedModel {
 public:
  explicit MergedModel(const WeightSource& file) : file_(file) {}

  void Add(const Adapter& adapter, double scale) {
    for (const Change& change : adapter.changes) Add(change, adapter.Factor(change, scale));
  }

  absl::Status Write(const std::string& path) const {
    GgufWriter writer;
    for (const auto& [key, value] : file_.metadata()) writer.SetValue(key, value);
    for (const StoredTensor& tensor : file_.tensors()) {
      const auto merged = merged_.find(tensor.name);
      if (merged == merged_.end()) {
        const absl::Span<const std::byte> data = file_.Data(tensor);
        writer.AddTensor(tensor.name, tensor.dtype, tensor.shape, Copy({data.begin(), data.end()}));
        continue;
      }
      const auto* bytes = reinterpret_cast<const std::byte*>(merged->second.data());
      writer.AddTensor(tensor.name, DType::kF32, tensor.shape,
                       Copy({bytes, bytes + merged->second.size() * sizeof(float)}));
    }
    return writer.Write(path);
  }

 private:
  std::vector<float>& Values(const std::string& name) {
    const auto [it, is_new] = merged_.try_emplace(name);
    const StoredTensor& tensor = *file_.FindTensor(name);
    if (is_new) {
      it->second = Decode(tensor.dtype, file_.Data(tensor).data(), Elements(tensor.shape));
    }
    return it->second;
  }

  void Add(const Change& change, double factor) {
    const std::vector<float> a = Decode(change.dtype, change.BlocksA().data(), Elements(change.a));
    const std::vector<float> b = Decode(change.dtype, change.BlocksB().data(), Elements(change.b));
    const auto rank = static_cast<size_t>(change.b.back());
    const size_t experts = change.b.size() == 3 ? static_cast<size_t>(change.b[0]) : 1;
    const size_t rows = change.is_table() ? a.size() / rank : b.size() / rank / experts;
    const size_t columns = change.is_table() ? b.size() / rank : a.size() / rank / experts;
    // The change as if the tensor were one, whose rows then go to the parts.
    const auto delta = [&](size_t expert, size_t row, size_t column) {
      double sum = 0;
      for (size_t r = 0; r < rank; ++r) {
        sum += change.is_table() ? double{a[row * rank + r]} * b[column * rank + r]
                                 : double{b[(expert * rows + row) * rank + r]} *
                                       a[(expert * rank + r) * columns + column];
      }
      return factor * sum;
    };
    size_t first = 0;
    for (const std::string& part :
         change.parts.empty() ? std::vector<std::string>{change.name} : change.parts) {
      std::vector<float>& values = Values(part + ".weight");
      const size_t part_rows = values.size() / columns / experts;
      for (size_t i = 0; i < values.size(); ++i) {
        const size_t expert = i / columns / part_rows, row = i / columns % part_rows;
        values[i] = static_cast<float>(values[i] + delta(expert, first + row, i % columns));
      }
      first += part_rows;
    }
  }

  const WeightSource& file_;
  std::map<std::string, std::vector<float>> merged_;
};

class LoraTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(testing::TempDir(), "sluice_lora.", getpid());
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(absl::string_view name) const { return absl::StrCat(folder_, "/", name); }

  static std::unique_ptr<Model> Open(const std::string& path) {
    absl::StatusOr<std::unique_ptr<Model>> model = Model::Load(path);
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : nullptr;
  }
  static std::unique_ptr<Model> OpenData(const std::string& name) {
    return Open(absl::StrCat(TestDataDir(), "/models/", name));
  }

  void Add(Model& model, const Adapter& adapter, double scale) const {
    const std::string path = Path(absl::StrCat("adapter", model.adapters().size(), ".gguf"));
    ASSERT_EQ(WriterOf(adapter).Write(path), absl::OkStatus());
    ASSERT_EQ(model.AddLora(path, scale), absl::OkStatus());
  }

  // Of twelve tokens, with a cache of 32 bits.
  static std::vector<float> Logits(const Model& model, Backend& backend) {
    constexpr int64_t kTokens = 12;
    auto session = tools::OpenSession(
        model, backend,
        {.max_tokens = kTokens, .context = 32, .k_type = DType::kF32, .v_type = DType::kF32},
        {.max_outputs = kTokens, .prepack_bytes = 0, .passes = {.updates = model.updates()}});
    EXPECT_TRUE(session.ok()) << session.status();
    if (!session.ok()) return {};
    const auto sequence = (*session)->NewSequence();
    std::vector<StepToken> step;
    for (int32_t i = 0; i < kTokens; ++i) {
      const auto id = static_cast<int32_t>((7 + 37 * i) % model.config().vocabulary);
      step.push_back({sequence.get(), id, true});
    }
    const auto logits = (*session)->Step(step);
    EXPECT_TRUE(logits.ok()) << logits.status();
    return logits.ok() ? std::vector<float>(logits->begin(), logits->end()) : std::vector<float>();
  }

  static std::vector<float> RefLogits(const Model& model) {
    return Logits(model, *MakeRefBackend());
  }

  // Compares a model with adapters to one whose weights have them merged in.
  void ExpectMerged(const Model& model, const MergedModel& merged) const {
    ASSERT_EQ(merged.Write(Path("merged.gguf")), absl::OkStatus());
    const std::unique_ptr<Model> whole = Open(Path("merged.gguf"));
    const std::vector<float> expected = RefLogits(*whole), got = RefLogits(model);
    // The merged weights and a dozen values on the way are rounded to float32 on one side only:
    // 2^-24 relative each, squared 4e-15, over some ten products one after the other.
    EXPECT_LT(Nmse({expected}, {got}), 1e-12);
    // As in conformance_test, what another order of float32 sums makes.
    EXPECT_LT(Nmse({got}, {Logits(model, *MakeCpuBackend({.threads = 1}))}), 1e-11);
  }

  std::string folder_;
};

// Every matrix of a model is changed; a token table only if it is not the output matrix, too.
Adapter AdapterFor(const Model& model, int64_t rank, DType dtype, uint64_t seed) {
  Adapter adapter{.architecture = model.config().architecture, .alpha = 1.5f};
  const bool is_tied = model.file().FindTensor("output.weight") == nullptr;
  for (const StoredTensor& tensor : model.file().tensors()) {
    if (tensor.shape.size() < 2 || (is_tied && tensor.name == "token_embd.weight")) continue;
    adapter.changes.push_back(ChangeOf(tensor, rank, dtype, ++seed));
  }
  return adapter;
}

class LoraOnModel : public LoraTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(LoraOnModel, IsAsIfItsChangesWereInTheWeights) {
  const std::unique_ptr<Model> model = OpenData(GetParam());
  const std::vector<float> plain = RefLogits(*model);
  const Adapter adapter = AdapterFor(*model, 4, DType::kF32, 1);
  MergedModel merged(model->file());
  merged.Add(adapter, 0.5);
  Add(*model, adapter, 0.5);
  EXPECT_GT(Nmse({plain}, {RefLogits(*model)}), 1e-2);  // or nothing is tested
  ExpectMerged(*model, merged);
}

TEST_P(LoraOnModel, SeveralAddUp) {
  const std::unique_ptr<Model> model = OpenData(GetParam());
  const Adapter first = AdapterFor(*model, 3, DType::kF16, 1);
  Adapter second = AdapterFor(*model, 32, DType::kQ8_0, 500);
  second.alpha = 0;  // counts as often as the scale says
  // Blocks of 32 do not fit the rows of every A here.
  std::erase_if(second.changes, [](const Change& c) { return c.a.back() % 32 != 0; });
  MergedModel merged(model->file());
  merged.Add(first, -2);
  merged.Add(second, 0.1);
  Add(*model, first, -2);
  Add(*model, second, 0.1);
  ExpectMerged(*model, merged);
}

TEST_P(LoraOnModel, OfScaleZeroIsNone) {
  const std::unique_ptr<Model> model = OpenData(GetParam());
  const std::vector<float> plain = RefLogits(*model);
  Add(*model, AdapterFor(*model, 4, DType::kF32, 1), 0);
  EXPECT_FALSE(model->updates().empty());
  EXPECT_EQ(RefLogits(*model), plain);
}

INSTANTIATE_TEST_SUITE_P(All, LoraOnModel,
                         ::testing::Values("llama-yarn-attn.F32.gguf", "qwen2.F16.gguf",
                                           "llama-moe.Q8_0.gguf", "qwen3moe.BF16.gguf"),
                         [](const auto& test) {
                           std::string name = test.param;
                           for (char& c : name)
                             c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

// A change of one tensor for several that a model has: rows of B go where they belong.
TEST_F(LoraTest, OfAFusedTensorIsOneOfEachPart) {
  const std::unique_ptr<Model> model = OpenData("qwen3moe.BF16.gguf");
  Adapter adapter{.architecture = "qwen3moe", .alpha = 4};
  const auto fuse = [&](const std::string& name, const std::vector<std::string>& parts) {
    std::vector<const StoredTensor*> tensors;
    for (const std::string& part : parts) {
      tensors.push_back(model->file().FindTensor(part + ".weight"));
      ASSERT_NE(tensors.back(), nullptr) << part;
    }
    Change change = ChangeOf(*tensors[0], 4, DType::kF32, adapter.changes.size());
    int64_t& rows = change.b[change.b.size() - 2];
    for (size_t i = 1; i < tensors.size(); ++i) {
      rows += tensors[i]->shape[tensors[i]->shape.size() - 2];
    }
    change.name = name;
    change.parts = parts;
    adapter.changes.push_back(std::move(change));
  };
  fuse("blk.0.attn_qkv", {"blk.0.attn_q", "blk.0.attn_k", "blk.0.attn_v"});
  fuse("blk.0.ffn_gate_up_exps", {"blk.0.ffn_gate_exps", "blk.0.ffn_up_exps"});
  MergedModel merged(model->file());
  merged.Add(adapter, 1);
  Add(*model, adapter, 1);
  EXPECT_EQ(model->updates().size(), 5u);
  EXPECT_EQ(model->updates()[0].a, model->updates()[1].a);  // A is shared
  ExpectMerged(*model, merged);
}

TEST_F(LoraTest, CountsInWhatAModelTakes) {
  const std::unique_ptr<Model> model = OpenData("llama-yarn-attn.F32.gguf");
  const std::unique_ptr<Backend> backend = MakeCpuBackend({.threads = 1});
  const auto weights = [&] {
    const auto plan = PlanModel(*model, *backend, {.passes = {.updates = model->updates()}});
    EXPECT_TRUE(plan.ok()) << plan.status();
    return plan.ok() ? PredictPeak(*model, *plan, {}).weights : 0;
  };
  const int64_t before = weights();
  const StoredTensor* q = model->file().FindTensor("blk.0.attn_q.weight");
  const Adapter adapter{.alpha = 8, .changes = {ChangeOf(*q, 4, DType::kF32, 1)}};
  Add(*model, adapter, 1);
  const int64_t floats = Elements(adapter.changes[0].a) + Elements(adapter.changes[0].b);
  EXPECT_EQ(weights() - before, floats * static_cast<int64_t>(sizeof(float)));
}

// --- Refusals -------------------------------------------------------------------------------

class LoraRefusal : public LoraTest {
 protected:
  void SetUp() override {
    LoraTest::SetUp();
    model_ = OpenData("llama-yarn-attn.F32.gguf");
    const StoredTensor* q = model_->file().FindTensor("blk.0.attn_q.weight");
    ASSERT_NE(q, nullptr);
    good_ = {.alpha = 8, .changes = {ChangeOf(*q, 4, DType::kF32, 1)}};
  }

  std::string Refused(const GgufWriter& writer, double scale = 1) {
    EXPECT_EQ(writer.Write(Path("a.gguf")), absl::OkStatus());
    const absl::Status status = model_->AddLora(Path("a.gguf"), scale);
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(model_->updates().empty() && model_->adapters().empty());
    EXPECT_THAT(std::string(status.message()), HasSubstr(Path("a.gguf")));
    return std::string(status.message());
  }

  std::unique_ptr<Model> model_;
  Adapter good_;
};

TEST_F(LoraRefusal, OfWhatIsNoAdapterForTheModel) {
  EXPECT_THAT(Refused(GgufWriter()),
              EndsWith("no adapter: key 'general.type': expected a string, got none"));
  const std::string path = TestDataDir() + "/models/llama-yarn-attn.F32.gguf";
  EXPECT_THAT(std::string(model_->AddLora(path, 1).message()), HasSubstr("'general.type'"));
  Adapter other = good_;
  other.architecture = "qwen2";
  EXPECT_THAT(Refused(WriterOf(other)),
              EndsWith("key 'general.architecture': expected 'llama', got 'qwen2'"));
  GgufWriter control;
  control.SetString("general.type", "adapter");
  control.SetString("adapter.type", "control_vector");
  EXPECT_THAT(Refused(control), EndsWith("'adapter.type': expected 'lora', got 'control_vector'"));
  EXPECT_THAT(Refused(WriterOf(Adapter{})), EndsWith("the adapter changes no weight"));
  GgufWriter activated = WriterOf(good_);
  activated.SetI32s("adapter.alora.invocation_tokens", {1, 2});
  EXPECT_THAT(Refused(activated), HasSubstr("wait for certain tokens"));
}

TEST_F(LoraRefusal, OfNumbersThatAreNotFinite) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Adapter adapter = good_;
  adapter.alpha = kNan;
  EXPECT_THAT(Refused(WriterOf(adapter)),
              EndsWith("'adapter.lora.alpha': expected a finite number, got nan"));
  EXPECT_THAT(Refused(WriterOf(good_), kInfinity), HasSubstr("scale is inf"));
  adapter.alpha = 3e38f;
  EXPECT_THAT(Refused(WriterOf(adapter), 1e9), HasSubstr("is not finite as an f32"));
  adapter.alpha = 0;
  GgufWriter text = WriterOf(adapter);
  text.SetString("adapter.lora.alpha", "8");
  EXPECT_THAT(Refused(text), HasSubstr("key 'adapter.lora.alpha'"));
}

TEST_F(LoraRefusal, OfHalvesAndOfUnknownTensors) {
  for (const char* half : {"a", "b"}) {
    GgufWriter writer = WriterOf(Adapter{});
    writer.AddTensor(absl::StrCat("blk.0.attn_q.weight.lora_", half), DType::kF32, {4, 64});
    EXPECT_THAT(Refused(writer),
                HasSubstr(absl::StrCat("attn_q.weight.lora_", *half == 'a' ? "b" : "a",
                                       "': missing, though the other")));
  }
  Adapter adapter = good_;
  adapter.changes[0].name = "blk.77.attn_q";
  EXPECT_THAT(Refused(WriterOf(adapter)), EndsWith("the model has no weight 'blk.77.attn_q'"));
  adapter.changes[0].name = "blk.0.attn_norm";
  EXPECT_THAT(Refused(WriterOf(adapter)), EndsWith("'blk.0.attn_norm' is no matrix of a product"));
  GgufWriter bias = WriterOf(good_);
  bias.AddTensor("blk.0.attn_q.bias", DType::kF32, {64});
  EXPECT_THAT(Refused(bias), HasSubstr("expected a name that ends in '.weight.lora_a'"));
}

TEST_F(LoraRefusal, OfWrongShapes) {
  const Dims a = good_.changes[0].a, b = good_.changes[0].b;
  const auto refused = [&](const Dims& other_a, const Dims& other_b) {
    GgufWriter writer = WriterOf(Adapter{});
    writer.AddTensor("blk.0.attn_q.weight.lora_a", DType::kF32, other_a);
    writer.AddTensor("blk.0.attn_q.weight.lora_b", DType::kF32, other_b);
    return Refused(writer);
  };
  const std::string expected_a =
      absl::StrCat("lora_a': expected the shape [rank,", a[1], "], got [");
  const std::string expected_b = absl::StrCat("lora_b': expected the shape [", b[0], ",4], got [");
  EXPECT_THAT(refused({4, a[1] + 1}, b), HasSubstr(expected_a));
  EXPECT_THAT(refused({1, 4, a[1] + 1}, b), HasSubstr(expected_a));
  EXPECT_THAT(refused({2, 4, a[1]}, b), HasSubstr(expected_a));
  EXPECT_THAT(refused(a, {b[0], 5}), HasSubstr(expected_b));
  EXPECT_THAT(refused(a, {b[0] + 1, 4}), HasSubstr(expected_b));
  EXPECT_THAT(refused(a, {4, b[0] + 1}), HasSubstr(expected_b));  // not transposed
  EXPECT_THAT(refused(a, {b[0]}), HasSubstr(expected_b));
}

TEST_F(LoraRefusal, OfTwoChangesOfOneWeight) {
  const auto rows = [&](const char* name) {
    return model_->file().FindTensor(absl::StrCat("blk.0.attn_", name, ".weight"))->shape[0];
  };
  Change fused = good_.changes[0];
  fused.name = "blk.0.attn_qkv";
  fused.b[0] = rows("q") + rows("k") + rows("v");
  good_.changes.push_back(fused);
  EXPECT_THAT(Refused(WriterOf(good_)), EndsWith("the adapter changes 'blk.0.attn_q' twice"));
}

TEST_F(LoraRefusal, OfRankZero) {
  const GgufBytes file = {.keys = {Key("general.type", MetadataType::kString, Text("adapter"))},
                          .tensors = {Record("blk.0.attn_q.weight.lora_a", {64, 0}, 0, 0)}};
  std::ofstream(Path("a.gguf"), std::ios::binary) << file.Build();
  EXPECT_THAT(std::string(model_->AddLora(Path("a.gguf"), 1).message()),
              HasSubstr("dimension 1 is 0"));
}

TEST_F(LoraRefusal, OfAChangeToATiedTokenTable) {
  model_ = OpenData("llama-tied-mha.F16.gguf");
  good_.changes = {ChangeOf(*model_->file().FindTensor("token_embd.weight"), 4, DType::kF32, 1)};
  EXPECT_THAT(Refused(WriterOf(good_)), HasSubstr("'token_embd' is its output matrix, too"));
}

// Norms come along in some adapters; nobody takes them.
TEST_F(LoraRefusal, IsOnlyAWarningForNorms) {
  GgufWriter writer = WriterOf(good_);
  writer.AddTensor("blk.0.attn_norm.weight", DType::kF32, {64});
  ASSERT_EQ(writer.Write(Path("a.gguf")), absl::OkStatus());
  ASSERT_EQ(model_->AddLora(Path("a.gguf"), 1), absl::OkStatus());
  EXPECT_THAT(model_->warnings().back(), EndsWith("tensor 'blk.0.attn_norm.weight' is not used"));
}

// --- The command line -----------------------------------------------------------------------

class LoraCommand : public LoraRefusal {
 protected:
  // Standard output and error of the program.
  static std::string Run(const std::string& arguments) {
    const std::string command = absl::StrCat(SLUICE_BINARY, " ", arguments, " 2>&1");
    FILE* pipe = popen(command.c_str(), "r");
    std::string text;
    for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) text.push_back(static_cast<char>(c));
    pclose(pipe);
    return text;
  }
};

TEST_F(LoraCommand, TakesFilesAndScales) {
  for (const char* name : {"a.gguf", "a:b.gguf"}) {
    ASSERT_EQ(WriterOf(good_).Write(Path(name)), absl::OkStatus());
  }
  const std::string dump =
      absl::StrCat("dump ", TestDataDir(), "/models/llama-yarn-attn.F32.gguf --after add_lora");
  const std::string once = Run(absl::StrCat(dump, " --lora ", Path("a:b.gguf")));
  EXPECT_THAT(once, HasSubstr("%l0.q.lora_scale = scale(%l0.q.lora_a) {factor=2.0}"));
  EXPECT_THAT(once, HasSubstr("weight @blk.0.attn_q.lora_a : f32[4,"));
  const std::string both = Run(
      absl::StrCat(dump, " --lora ", Path("a.gguf"), ":0.5 --lora ", Path("a:b.gguf"), ":-1.5e1"));
  EXPECT_THAT(both, HasSubstr("weight @blk.0.attn_q.lora_a : f32[4,"));  // a factor of 1: no scale
  EXPECT_THAT(both, HasSubstr("weight @blk.0.attn_q.lora2_a : f32[4,"));
  EXPECT_THAT(both, HasSubstr("{factor=-30.0}"));
  EXPECT_THAT(Run(absl::StrCat(dump, " --lora ", Path("none:1"))),
              HasSubstr(absl::StrCat("sluice: ", Path("none"), ": ")));
  EXPECT_THAT(Run(absl::StrCat(dump, " --explain add_lora --lora ", Path("a.gguf"), ":0")),
              HasSubstr("add_lora: @blk.0.attn_q: no update by @blk.0.attn_q.lora_a and "
                        "@blk.0.attn_q.lora_b: the factor is 0"));
}

}  // namespace
}  // namespace sluice
