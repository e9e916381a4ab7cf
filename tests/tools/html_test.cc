// The HTML page in a browser: what a reader does, and what must then be seen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "backends/cpu/cpu_backend.h"
#include "graph/text.h"
#include "models/model.h"
#include "passes/pipeline.h"
#include "tests/support/browser.h"
#include "tools/views/page.h"
#include "tools/views/page_data.h"

namespace sluice {
namespace {

using nlohmann::json;
using testing::Gt;
using testing::HasSubstr;
using testing::IsEmpty;

// The page of the embedded model through all passes, and the graph at both ends. `fused` is a node
// with a kernel, of an op that stands for several; it was measured with 1.5 ms.
struct Compilation {
  std::string page;
  Graph built, final;
  const Node* fused = nullptr;
};

Compilation Compile() {
  Compilation result;
  const auto model = Model::LoadEmbedded();
  EXPECT_TRUE(model.ok()) << model.status();
  Graph graph = (*model)->BuildGraph({.max_tokens = 1}).value();
  result.built = graph.Clone();
  const std::unique_ptr<Backend> backend = MakeCpuBackend({.threads = 1});
  const CompileContext context{
      .caps = &backend->caps(), .kernels = backend->kernels(), .explain = {}};
  PageData data("stories", context);
  PassOptions passes;
  passes.after_each = [&](absl::string_view pass, const Graph& stage) {
    data.AddStage(pass, stage);
  };
  EXPECT_TRUE(Optimize(*backend, passes, &graph).ok());
  result.final = std::move(graph);
  for (const auto& node : result.final.nodes()) {
    if (!node->op().expands_to.empty() && !node->kernel().empty()) result.fused = node.get();
  }
  data.SetTimes({.phase = "decode",
                 .bucket = 1,
                 .nodes = {{result.fused->name(), {.microseconds = 1500, .runs = 3}}}});
  result.page = HtmlPage(data.Json());
  return result;
}

class Html : public testing::Test {
 protected:
  // One browser for all tests: a start takes longer than a test.
  static void SetUpTestSuite() {
    absl::StatusOr<std::unique_ptr<Browser>> browser = Browser::Start();
    start_ = browser.status();
    if (browser.ok()) browser_ = *std::move(browser);
  }
  static void TearDownTestSuite() { browser_ = nullptr; }

  void SetUp() override {
    if (absl::IsUnavailable(start_)) GTEST_SKIP() << start_.message();
    ASSERT_TRUE(start_.ok()) << start_;
  }

  // Nothing went wrong on the page, and it asked for nothing but itself.
  void TearDown() override {
    if (browser_ == nullptr) return;
    EXPECT_THAT(browser_->console(), IsEmpty());
    for (const std::string& request : browser_->requests()) {
      EXPECT_THAT(request, testing::AnyOf("about:blank", "file://" + path_));
    }
    std::remove(path_.c_str());
  }

  void Open(const std::string& page) {
    path_ = testing::TempDir() + "/sluice_html_test.html";
    std::ofstream(path_) << page;
    const absl::Status status = browser_->Open(path_);
    ASSERT_TRUE(status.ok()) << status;
  }

  json Value(const std::string& expression) {
    const absl::StatusOr<json> value = browser_->Evaluate(expression);
    EXPECT_TRUE(value.ok()) << expression << ": " << value.status();
    return value.value_or(json());
  }
  std::string Text(const std::string& selector) {
    const json value = Value(absl::StrCat("document.querySelector(", json(selector).dump(),
                                          ")?.innerText ?? 'nothing matches'"));
    return value.is_string() ? value.get<std::string>() : "";
  }
  int Count(const std::string& selector) {
    return Value(absl::StrCat("document.querySelectorAll(", json(selector).dump(), ").length"));
  }
  void Click(const std::string& selector) {
    const absl::Status status = browser_->Click(selector);
    EXPECT_TRUE(status.ok()) << status;
  }
  void Press(const std::string& key) { EXPECT_TRUE(browser_->Press(key).ok()) << key; }

  // Steps to a stage with the keyboard.
  void GoTo(absl::string_view stage) {
    for (size_t i = 0; i <= Pipeline().size() && Text("#stage") != stage; ++i) {
      Press("ArrowRight");
    }
    EXPECT_EQ(Text("#stage"), stage);
  }

  static inline std::unique_ptr<Browser> browser_;
  static inline absl::Status start_;
  std::string path_;
};

TEST_F(Html, OpensAtTheBuiltGraphWithEqualLayersClosed) {
  Open(Compile().page);
  EXPECT_EQ(Text("#stage"), "build");
  EXPECT_THAT(Text("h1"), HasSubstr("stories"));
  EXPECT_EQ(Count("#stages li"), static_cast<int>(Pipeline().size()) + 1);
  EXPECT_EQ(Count("#graph > section"), 7);  // five layers, before and after
  EXPECT_EQ(Count("section.closed[data-id='layer 1']"), 1);
  EXPECT_EQ(Count("section.open[data-id='layer 0'] .node[data-name='l0.q']"), 1);
  EXPECT_THAT(Text(".node[data-name='l0.q']"), HasSubstr("attn_q q4_k"));
  Click("section[data-id='layer 1'] .section-header");
  EXPECT_EQ(Count(".node[data-name='l1.q']"), 1);
}

// The page's own reconstruction of each stage, against the graph itself.
TEST_F(Html, RebuildsTheStages) {
  const Compilation compilation = Compile();
  Open(compilation.page);
  const json stages = Value(
      "allStages(JSON.parse(byId('data').textContent).stages)"
      ".map((stage) => stage.order.map((name) => [name, stage.nodes.get(name).op]))");
  ASSERT_EQ(stages.size(), Pipeline().size() + 1);
  const auto ops = [](const Graph& graph) {
    json list = json::array();
    for (const auto& node : graph.nodes()) list.push_back({node->name(), node->op().name});
    return list;
  };
  EXPECT_EQ(stages.front(), ops(compilation.built));
  EXPECT_EQ(stages.back(), ops(compilation.final));
}

TEST_F(Html, StepsThroughThePasses) {
  Open(Compile().page);
  GoTo("fuse_gate_up");
  EXPECT_EQ(Count(".node.removed[data-name='l0.g']"), 1);
  EXPECT_EQ(Count(".node.changed[data-name='l0.h']"), 1);
  EXPECT_EQ(Text("#stages .current .number"), "139 → 124");
  const std::string decoration =
      Value("getComputedStyle(document.querySelector('.node.removed .line')).textDecorationLine");
  EXPECT_EQ(decoration, "line-through");
  Press("ArrowRight");
  EXPECT_EQ(Count(".node[data-name='l0.g']"), 0);
  Press("ArrowLeft");
  EXPECT_EQ(Text("#stage"), "fuse_gate_up");
  Value("(byId('slider').value = 0, byId('slider').dispatchEvent(new Event('input')))");
  EXPECT_EQ(Text("#stage"), "build");
  EXPECT_EQ(Count(".node.removed, .node.changed, .node.added"), 0);
}

TEST_F(Html, FindsNodesByOpWeightAndKernel) {
  Open(Compile().page);
  GoTo("select_kernels");
  Press("/");
  EXPECT_TRUE(browser_->Type("attn_output").ok());
  EXPECT_EQ(Text("#found"), "5 nodes");
  EXPECT_EQ(Count("#hits li"), 5);
  EXPECT_EQ(Count(".node.hit[data-name='l0.o']"), 1);
  for (int i = 0; i < 4; ++i) Press("Enter");
  EXPECT_EQ(Text("#found"), "4 of 5 nodes");
  EXPECT_EQ(Text("#panel h2"), "l3.o");
  EXPECT_EQ(Count(".node.selected[data-name='l3.o']"), 1) << "its layer was closed";
  Press("Escape");
  EXPECT_EQ(Count(".node.hit"), 0);
  Press("/");
  EXPECT_TRUE(browser_->Type("cpu.attention l2").ok());
  EXPECT_EQ(Text("#found"), "1 node");
}

TEST_F(Html, ShowsEverythingAboutANode) {
  const Compilation compilation = Compile();
  const Node& node = *compilation.fused;
  Open(compilation.page);
  GoTo(Pipeline().back().name);
  Press("/");
  EXPECT_TRUE(browser_->Type(node.result()->ref()).ok());
  Press("Enter");
  Press("Escape");
  EXPECT_EQ(Text("#panel h2"), node.name());
  const std::string panel = absl::AsciiStrToLower(Text("#panel"));
  const std::vector<std::string> parts = {node.op().name,
                                          absl::StrCat("made by ", node.origin()),
                                          node.kernel(),
                                          "chosen",
                                          node.source()->ref(),
                                          node.source()->type().ToString(),
                                          node.op().operands.front().name,
                                          absl::StrCat(node.result()->mem()->region, "+0x"),
                                          "flop",
                                          "read by",
                                          "it stands for",
                                          "1.50 ms (100 % of all)",
                                          node.op().doc.substr(0, 40)};
  for (const std::string& part : parts) {
    EXPECT_THAT(panel, HasSubstr(absl::AsciiStrToLower(part)));
  }
  Click("#panel .link");
  EXPECT_NE(Text("#panel h2"), node.name());
  Click("#stages li:first-child button");
  Click(".node[data-name='l0.q']");
  Value(
      "[...document.querySelectorAll('#panel .link')]"
      ".find((link) => link.innerText === '@blk.0.attn_q').click()");
  EXPECT_THAT(Text("#panel"), testing::AllOf(HasSubstr("weight"), HasSubstr("q4_k[256,256]")));
  Press("Escape");
  EXPECT_TRUE(Value("byId('panel').hidden"));
}

TEST_F(Html, DrawsTheMemoryMap) {
  Open(Compile().page);
  Press("m");
  EXPECT_THAT(Text("#memory"), HasSubstr("No memory is planned at this stage"));
  GoTo(Pipeline().back().name);
  EXPECT_THAT(Text("#memory h2"), HasSubstr("act"));
  const json spans = Value(
      "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame("
      "() => done(document.querySelector('#memory canvas').spans.length))))");
  EXPECT_THAT(spans.get<int>(), Gt(50));
  Click("#memory canvas");
  Press("g");
  EXPECT_TRUE(Value("byId('memory').hidden"));
}

TEST_F(Html, ShowsNamesOfStrangersAsText) {
  const absl::StatusOr<Graph> graph = Parse(
      "graph \"</script><script>console.error(1)</script>\"\n"
      "input %x : f32[4]\n"
      "%constructor = silu(%x) : f32[4] kernel(\"<img src=x onerror=console.error(2)>\") "
      "by(\"__proto__\")\n"
      "%__proto__ = gelu(%constructor) : f32[4]\n"
      "output %__proto__\n");
  ASSERT_TRUE(graph.ok()) << graph.status();
  const CompileContext context;
  PageData data("<b>title</b>", context);
  data.AddStage("build", *graph);
  Open(HtmlPage(data.Json()));
  EXPECT_EQ(Text("#title"), "<b>title</b>");
  EXPECT_THAT(Text("#facts"), HasSubstr("</script><script>"));
  EXPECT_THAT(Text(".node[data-name='constructor']"), HasSubstr("<img src=x"));
  EXPECT_EQ(Count(".node[data-name='__proto__']"), 1);
  Click(".node[data-name='__proto__']");
  EXPECT_EQ(Text("#panel h2"), "__proto__");
  EXPECT_EQ(Count("img"), 0);
}

}  // namespace
}  // namespace sluice
