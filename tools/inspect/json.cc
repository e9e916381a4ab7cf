// The JSON form of report.h.
#include <nlohmann/json.hpp>
#include <utility>

#include "tools/inspect/metadata.h"
#include "tools/inspect/report.h"
#include "tools/machine/ceiling_report.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

Json TextsJson(const NamedTexts& texts) {
  Json object = Json::object();
  for (const auto& [name, value] : texts) object[name] = value;
  return object;
}

Json FormatsJson(const std::vector<FormatUse>& formats) {
  Json list = Json::array();
  for (const FormatUse& use : formats) {
    list.push_back({{"format", std::string(Name(use.dtype))},
                    {"tensors", use.tensors},
                    {"elements", use.elements},
                    {"bytes", use.bytes}});
  }
  return list;
}

Json MemoryJson(const ModelPlan& plan) {
  Json buckets = Json::array();
  for (const BucketPlan& bucket : plan.buckets) {
    buckets.push_back({{"tokens", bucket.tokens},
                       {"nodes", bucket.graph.nodes().size()},
                       {"weights", bucket.memory.weights},
                       {"packed", bucket.memory.packed},
                       {"constants", bucket.memory.constants},
                       {"arena", bucket.memory.arena},
                       {"activations", bucket.memory.activations},
                       {"scratch", bucket.memory.scratch},
                       {"lower_bound", bucket.memory.lower_bound}});
  }
  return {{"context", plan.context},
          {"packed", plan.packed_bytes},
          {"cache", plan.cache_bytes},
          {"cache_per_token", plan.cache_bytes_per_token},
          {"buckets", std::move(buckets)}};
}

Json PeakJson(const Inspection& inspection) {
  const PeakMemory& peak = inspection.peak;
  Json json = {{"context", inspection.plan.context}, {"prompt", inspection.prompt}};
  for (const auto& [name, field] : PeakFields()) json[std::string(name)] = peak.*field;
  json["total"] = peak.total();
  return json;
}

Json CostJson(const OpCost& cost) {
  return {{"flops", cost.flops},
          {"bytes_read", cost.bytes_read},
          {"bytes_written", cost.bytes_written}};
}

Json DecodeJson(const std::vector<DecodeCost>& steps, const std::optional<Ceiling>& ceiling) {
  Json list = Json::array();
  for (const DecodeCost& step : steps) {
    Json entry = CostJson(step.cost.total);
    entry["length"] = step.length;
    entry["weight_bytes"] = step.cost.weight_bytes;
    for (size_t part = 0; part < kPartCount; ++part) {
      entry["parts"][std::string(Name(static_cast<Part>(part)))] = CostJson(step.cost.parts[part]);
    }
    if (ceiling.has_value()) entry["tokens_per_second_bound"] = DecodeBound(step.cost, *ceiling);
    list.push_back(std::move(entry));
  }
  return list;
}

Json WorkJson(const NodeWork& work) {
  return {{"dispatches", work.dispatches}, {"copies", work.copies}, {"barriers", work.barriers}};
}

Json ScheduleJson(const Inspection& inspection) {
  Json json = WorkJson(inspection.schedule.total);
  json["tokens"] = inspection.plan.buckets.front().tokens;
  json["output_bytes"] = inspection.output_bytes;
  for (const LayerWork& kind : inspection.schedule.kinds) {
    Json entry = WorkJson(kind.Sum());
    entry["layers"] = kind.layers;
    for (const NodeWork& node : kind.nodes) {
      Json line = WorkJson(node);
      line["op"] = node.op;
      line["kernel"] = node.kernel;
      entry["nodes"].push_back(std::move(line));
    }
    json["kinds"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace

std::string InspectionJson(const Model& model, const Inspection& inspection,
                           const ReportOptions& options) {
  Json json;
  json["model"] = TextsJson(KeyFacts(model));
  if (options.all_metadata) json["metadata"] = TextsJson(AllMetadata(model.file()));
  json["parameters"] = {{"total", inspection.parameters.total},
                        {"active", inspection.parameters.active}};
  json["formats"] = FormatsJson(inspection.formats);
  json["memory"] = MemoryJson(inspection.plan);
  json["placement"] = PlacementJson(inspection.placement);
  json["peak"] = PeakJson(inspection);
  json["machine"] = {{"available", inspection.machine.available},
                     {"limited_by", inspection.machine.limited_by}};
  if (options.ceiling.has_value()) {
    json["machine"].update(CeilingJson(*options.ceiling));
  }
  json["fit"] = {{"fits", inspection.fit.fits()},
                 {"needed", inspection.fit.needed},
                 {"available", inspection.fit.available},
                 {"largest_context", inspection.fit.largest_context}};
  if (!inspection.schedule.kinds.empty()) json["schedule"] = ScheduleJson(inspection);
  json["decode"] = DecodeJson(inspection.decode, options.ceiling);
  // Names come from files and may hold any bytes; JSON may not.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace sluice
