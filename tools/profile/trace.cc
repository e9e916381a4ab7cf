#include "tools/profile/trace.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kProcess = 1;
constexpr int kStepThread = 0;
constexpr int kNodeThread = 1;
constexpr double kMicroseconds = 1e6;

Json NameEvent(absl::string_view what, int thread, absl::string_view name) {
  return {{"name", std::string(what)},
          {"ph", "M"},
          {"pid", kProcess},
          {"tid", thread},
          {"args", {{"name", std::string(name)}}}};
}

Json CompleteEvent(std::string name, std::string category, int thread, double start,
                   double seconds) {
  return {{"name", std::move(name)},
          {"cat", std::move(category)},
          {"ph", "X"},
          {"ts", start * kMicroseconds},
          {"dur", seconds * kMicroseconds},
          {"pid", kProcess},
          {"tid", thread}};
}

Json StepEvent(const ProfiledStep& step, size_t index) {
  const std::string phase(Name(step.phase));
  Json event =
      CompleteEvent(absl::StrCat("step ", index), phase, kStepThread, step.start, step.seconds);
  event["args"] = {{"sample", step.sample},
                   {"bucket", step.bucket},
                   {"tokens", step.size.tokens},
                   {"length", step.size.length}};
  return event;
}

Json NodeEvent(const Profile& profile, const NodeRun& run) {
  const ProfiledNode& node = profile.nodes[run.node];
  const ProfiledStep& step = profile.steps[run.step];
  Json event = CompleteEvent(node.name, node.op, kNodeThread, run.start, run.seconds);
  event["args"] = {
      {"op", node.op},           {"kernel", node.kernel},
      {"origin", node.origin},   {"phase", std::string(Name(step.phase))},
      {"sample", step.sample},   {"bucket", step.bucket},
      {"step", run.step},        {"tokens", step.size.tokens},
      {"flops", run.cost.flops}, {"bytes", run.cost.bytes_read + run.cost.bytes_written}};
  return event;
}

}  // namespace

std::string ChromeTrace(const Profile& profile, absl::string_view title) {
  Json events = Json::array();
  events.push_back(NameEvent("process_name", kNodeThread, title));
  events.push_back(NameEvent("thread_name", kStepThread, "steps"));
  events.push_back(NameEvent("thread_name", kNodeThread, "nodes"));
  for (size_t i = 0; i < profile.steps.size(); ++i) {
    events.push_back(StepEvent(profile.steps[i], i));
  }
  for (const NodeRun& run : profile.runs) events.push_back(NodeEvent(profile, run));
  const Json trace = {{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}};
  // Titles come from files and may hold any bytes; JSON may not.
  return trace.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace sluice
