// The pictures of a graph: DOT, SVG, and the data of the HTML page.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "backends/cpu/cpu_backend.h"
#include "graph/layer.h"
#include "graph/text.h"
#include "models/model.h"
#include "passes/pipeline.h"
#include "tools/views/dot.h"
#include "tools/views/graphviz.h"
#include "tools/views/node_cost.h"
#include "tools/views/page.h"
#include "tools/views/page_data.h"
#include "tools/views/trace.h"

namespace sluice {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// Everything that a stranger can choose, chosen badly.
constexpr absl::string_view kHostile =
    "graph \"</script><script>alert(1)</script> \\\"]; x [label=<b>y</b>] \\\\\"\n"
    "symbol tokens <= 2\n"
    "input %x : f32[tokens,4]\n"
    "%l0.a = silu(%x) : f32[tokens,4] kernel(\"k\\\"] <!-- </SCRIPT> &amp; \\n\\001\") "
    "by(\"constructor\")\n"
    "%constructor = gelu(%l0.a) : f32[tokens,4] by(\"\\\\N <img src=x>\")\n"
    "output %constructor\n";

Graph MustParse(absl::string_view text) {
  absl::StatusOr<Graph> graph = Parse(text);
  EXPECT_TRUE(graph.ok()) << graph.status();
  return *std::move(graph);
}

Graph StoriesGraph() {
  const auto model = Model::LoadEmbedded();
  EXPECT_TRUE(model.ok()) << model.status();
  absl::StatusOr<Graph> graph = (*model)->BuildGraph({.max_tokens = 1});
  EXPECT_TRUE(graph.ok()) << graph.status();
  return *std::move(graph);
}

TEST(Layer, IsReadFromTheName) {
  EXPECT_EQ(LayerOf("l0.q"), 0);
  EXPECT_EQ(LayerOf("l12.ffn.x"), 12);
  for (const char* name : {"x", "l", "l.q", "l1", "lx.q", "l-1.q", "l1x.q", "l99999999999.q", ""}) {
    EXPECT_EQ(LayerOf(name), -1) << name;
  }
}

TEST(Dot, ShowsLayersWeightsStatesAndTypes) {
  const std::string dot = ToDot(StoriesGraph());
  EXPECT_THAT(dot, HasSubstr("subgraph cluster_l4 {"));
  EXPECT_THAT(dot, HasSubstr("matmul  %l0.q\\n@blk.0.attn_q : q4_k[256,256]"));
  EXPECT_THAT(dot, HasSubstr("\"%l0.k_cache\" [shape=cylinder"));
  EXPECT_THAT(dot, HasSubstr("\"%l0.n1\" -> \"%l0.q\" [label=\"f32[tokens,256]\"]"));
  EXPECT_THAT(dot, HasSubstr("style=\"rounded,filled,dashed\""));
  // Weights are no nodes of their own, nor is an input that every layer reads.
  EXPECT_THAT(dot, AllOf(Not(HasSubstr("\n    \"@")), Not(HasSubstr("\"%positions\" ["))));
}

TEST(Dot, EscapesWhatStrangersWrote) {
  const std::string dot = ToDot(MustParse(kHostile));
  EXPECT_THAT(dot, HasSubstr(R"(digraph "</script><script>alert(1)</script> \"]; x [)"));
  EXPECT_THAT(dot, HasSubstr(R"(k\"] <!-- </SCRIPT> &amp;amp; \\x0A\\x01)"));
  EXPECT_THAT(dot, HasSubstr(R"(by \\N <img src=x>)"));
}

TEST(Svg, IsWhatGraphvizMakesOfIt) {
  for (const Graph& graph : {StoriesGraph(), MustParse(kHostile)}) {
    const absl::StatusOr<std::string> svg = DotToSvg(ToDot(graph));
    if (absl::IsUnavailable(svg.status())) GTEST_SKIP() << svg.status().message();
    ASSERT_TRUE(svg.ok()) << svg.status();
    EXPECT_THAT(*svg, AllOf(HasSubstr("<svg"), HasSubstr("</svg>"), Not(HasSubstr("<script"))));
    for (const auto& node : graph.nodes()) {
      EXPECT_THAT(*svg, HasSubstr(absl::StrCat(">", node->op().name, " ")));
    }
  }
}

TEST(Svg, ErrorsNameThePackageOrSayWhatGraphvizSaid) {
  const absl::Status absent = DotToSvg("digraph {}", "sluice-no-such-program").status();
  EXPECT_TRUE(absl::IsUnavailable(absent));
  EXPECT_THAT(std::string(absent.message()), HasSubstr("package graphviz"));
  const absl::Status broken = DotToSvg("no graph").status();
  if (absl::IsUnavailable(broken)) GTEST_SKIP() << broken.message();
  EXPECT_THAT(std::string(broken.message()), HasSubstr("syntax error"));
}

// What a reader of the page's data does, in the plainest way: the records of a stage in order.
using Stage = std::vector<std::pair<std::string, json>>;

Stage::iterator FindNode(Stage& stage, const std::string& name) {
  return std::find_if(stage.begin(), stage.end(), [&](auto& node) { return node.first == name; });
}

void Apply(const json& delta, Stage* stage) {
  std::map<std::string, json> kept;
  for (const json& name : delta["removed"]) stage->erase(FindNode(*stage, name));
  for (const json& place : delta["placed"]) {
    const auto node = FindNode(*stage, place[0]);
    if (node == stage->end()) continue;
    kept[place[0]] = node->second;
    stage->erase(node);
  }
  for (const json& place : delta["placed"]) {
    const auto before = FindNode(*stage, place[1]);
    ASSERT_TRUE(place[1] == "" || before != stage->end()) << place;
    stage->insert(place[1] == "" ? stage->begin() : before + 1,
                  Stage::value_type(place[0].get<std::string>(), kept[place[0]]));
  }
  for (const auto& [name, fields] : delta["nodes"].items()) {
    const auto node = FindNode(*stage, name);
    ASSERT_NE(node, stage->end()) << name;
    node->second.update(fields);
    for (const auto& [field, value] : fields.items()) {
      if (value.is_null()) node->second.erase(field);
    }
  }
}

Stage WholeStage(const Graph& graph, const CompileContext& context) {
  Stage stage;
  for (const auto& node : graph.nodes()) {
    stage.emplace_back(node->name(), NodeRecord(*node, graph, context));
  }
  return stage;
}

TEST(PageData, EveryStageFollowsFromTheDifferences) {
  const std::unique_ptr<Backend> backend = MakeCpuBackend({.threads = 1});
  const CompileContext context{
      .caps = &backend->caps(), .kernels = backend->kernels(), .explain = {}};
  PageData page("stories", context);
  std::vector<Stage> expected;
  std::vector<std::string> names;
  PassOptions passes;
  passes.after_each = [&](absl::string_view pass, const Graph& graph) {
    page.AddStage(pass, graph);
    names.emplace_back(pass);
    expected.push_back(WholeStage(graph, context));
  };
  Graph graph = StoriesGraph();
  ASSERT_TRUE(Optimize(*backend, passes, &graph).ok());

  const json data = json::parse(page.Json().dump());
  ASSERT_EQ(data["stages"].size(), Pipeline().size() + 1);
  Stage stage;
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(names[i]);
    EXPECT_EQ(data["stages"][i]["name"], names[i]);
    ASSERT_NO_FATAL_FAILURE(Apply(data["stages"][i], &stage));
    EXPECT_EQ(stage, expected[i]);
  }
  for (const auto& [name, record] : stage) {
    EXPECT_TRUE(data["ops"].contains(record["op"])) << name;
  }
}

TEST(PageData, PutsMovedNodesWhereTheyAre) {
  constexpr absl::string_view kHead = "graph g\ninput %x : f32[4]\n";
  constexpr absl::string_view kP = "%p = silu(%x) : f32[4]\n", kQ = "%q = gelu(%x) : f32[4]\n",
                              kR = "%r = silu(%x) : f32[4]\n", kN = "%n = gelu(%x) : f32[4]\n";
  const auto graph = [&](auto... lines) { return MustParse(absl::StrCat(kHead, lines...)); };
  const std::vector<Graph> stages = [&] {
    std::vector<Graph> list;
    list.push_back(graph(kP, kQ, kR));
    list.push_back(graph(kR, kN, kP, kQ));
    list.push_back(graph(kQ, kR, kN));
    return list;
  }();
  const CompileContext context = {};
  PageData page("moves", context);
  Stage stage;
  for (const Graph& each : stages) {
    page.AddStage("stage", each);
    const json data = page.Json();
    ASSERT_NO_FATAL_FAILURE(Apply(data["stages"].back(), &stage));
    EXPECT_EQ(stage, WholeStage(each, context));
  }
}

TEST(PageData, SaysWhyKernelsRefuse) {
  const std::unique_ptr<Backend> backend = MakeCpuBackend({.threads = 1});
  const CompileContext context{
      .caps = &backend->caps(), .kernels = backend->kernels(), .explain = {}};
  Graph graph = StoriesGraph();
  ASSERT_TRUE(Optimize(*backend, {}, &graph).ok());
  bool chosen = false;
  for (const auto& node : graph.nodes()) {
    const json record = NodeRecord(*node, graph, context);
    if (node->kernel().empty()) continue;
    for (const json& choice : record["choices"]) {
      chosen = chosen || (choice[0] == node->kernel() && choice[1] == "");
    }
    EXPECT_TRUE(chosen) << node->name();
  }
  EXPECT_TRUE(chosen);
}

TEST(NodeCost, IsAtTheBounds) {
  const Graph graph = MustParse(
      "graph g\nsymbol tokens <= 8\ninput %x : f32[tokens,16]\nweight @w : f32[4,16]\n"
      "%y = matmul(%x, @w) : f32[tokens,4]\n%v = reshape(%y) {shape=[tokens,2,2]} : "
      "f32[tokens,2,2]\noutput %v\n");
  const OpCost cost = CostAtBounds(*graph.nodes()[0], graph);
  EXPECT_EQ(cost.flops, 2 * 8 * 16 * 4);
  EXPECT_EQ(cost.bytes_written, 8 * 4 * 4);
  EXPECT_EQ(cost.bytes_read, 8 * 16 * 4 + 4 * 16 * 4);
  const OpCost view = CostAtBounds(*graph.nodes()[1], graph);
  EXPECT_EQ(view.flops + view.bytes_read + view.bytes_written, 0);
}

TEST(Page, NoTextEndsTheScriptElement) {
  const CompileContext context;
  PageData page("<!--<script></script>\xff{{scripts}}", context);
  page.AddStage("build", MustParse(kHostile));
  const std::string html = HtmlPage(page.Json());
  const std::string start = "<script type=\"application/json\" id=\"data\">";
  const size_t from = html.find(start) + start.size();
  const std::string data = html.substr(from, html.find("</script>", from) - from);
  EXPECT_THAT(data, Not(HasSubstr("<")));
  const json parsed = json::parse(data, nullptr, false);
  ASSERT_FALSE(parsed.is_discarded());
  EXPECT_EQ(parsed["stages"][0]["graph"]["name"],
            R"(</script><script>alert(1)</script> "]; x [label=<b>y</b>] \)");
  EXPECT_EQ(parsed["stages"][0]["nodes"]["constructor"]["origin"], "\\N <img src=x>");
  // Text that looks like a place to fill in stays as it is.
  EXPECT_THAT(data, HasSubstr("{{scripts}}"));
}

TEST(Page, NeedsNothingFromElsewhere) {
  const std::string html = HtmlPage(json::object());
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  for (const char* outside : {" src=", "<link", "@import", "url(", "fetch(", "innerHTML"}) {
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  }
}

std::string Event(const std::string& name, double duration, const std::string& args) {
  return absl::StrCat(R"({"name": ")", name, R"(", "ph": "X", "ts": 0, "dur": )", duration,
                      R"(, "args": {)", args, "}}");
}

std::string TraceOf(const std::vector<std::string>& events) {
  return absl::StrCat(R"({"traceEvents": [{"name": "note", "ph": "M"}, )",
                      absl::StrJoin(events, ","), "]}");
}

TEST(Trace, TakesTheStepsOfOneGraphAndTheirMedians) {
  const std::string decode = R"("phase": "decode", "bucket": 1)";
  const std::string prefill = R"("phase": "prefill", "bucket": 1)";
  const std::string large = R"("phase": "prefill", "bucket": 512)";
  const std::string trace =
      TraceOf({Event("l0.q", 2, decode), Event("l0.q", 900, decode), Event("l0.q", 3, decode),
               Event("l0.q", 4, prefill), Event("l0.q", 5000, large), Event("only", 7, large),
               Event("step 1", 8, R"("bucket": 1)")});
  const auto one = ReadTrace(trace, "t.json", 1);
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->phase, "decode");
  ASSERT_EQ(one->nodes.size(), 1u);
  EXPECT_EQ(one->nodes.at("l0.q").microseconds, 3);
  EXPECT_EQ(one->nodes.at("l0.q").runs, 3);
  const auto many = ReadTrace(trace, "t.json", 512);
  ASSERT_TRUE(many.ok()) << many.status();
  EXPECT_EQ(many->phase, "prefill");
  EXPECT_EQ(many->nodes.size(), 2u);
  const auto without = ReadTrace(TraceOf({Event("l0.q", 4, prefill)}), "t.json", 1);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_EQ(without->phase, "prefill");
}

TEST(Trace, SaysWhatItHasWhereNothingFits) {
  const auto error = [](const std::string& trace) {
    const absl::Status status = ReadTrace(trace, "t.json", 64).status();
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(error(TraceOf({Event("q", 1, R"("phase": "decode", "bucket": 1)")})),
              HasSubstr("t.json: no times of steps of up to 64 tokens: it has decode of up to 1; "
                        "--tokens says which graph is shown"));
  EXPECT_THAT(error(TraceOf({Event("q", 1, R"("op": "matmul")")})),
              HasSubstr("t.json: no event says its phase and bucket"));
}

TEST(PageData, SaysWhichStepsItsTimesAreOf) {
  const CompileContext context;
  PageData page("m", context);
  EXPECT_EQ(page.Json()["timed"], "");
  page.SetTimes({.phase = "decode", .bucket = 1, .nodes = {{"q", {.microseconds = 2, .runs = 3}}}});
  EXPECT_EQ(page.Json()["timed"], "decode steps of up to 1 token, medians");
  EXPECT_EQ(page.Json()["times"]["q"], json::array({2.0, 3}));
}

TEST(Trace, RefusesWhatIsNone) {
  EXPECT_EQ(ReadTrace("", "t.json", 1).status().message(), "t.json:1:1: unexpected end in JSON");
  for (const char* text : {"[]", "{}", R"({"traceEvents": 1})", R"({"traceEvents": [1]})",
                           R"({"traceEvents": [{"ph": "X", "name": "a"}]})",
                           R"({"traceEvents": [{"ph": "X", "name": 1, "dur": 1}]})"}) {
    const absl::Status status = ReadTrace(text, "t.json", 1).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("t.json: no trace: ")) << text;
  }
}

}  // namespace
}  // namespace sluice
