#include "tools/inspect/report.h"

#include <array>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/inspect/metadata.h"
#include "tools/machine/ceiling_report.h"
#include "tools/terminal/markdown_table.h"
#include "tools/terminal/units.h"

namespace sluice {
namespace {

using Row = std::vector<std::string>;

std::string Bytes(int64_t bytes) { return BytesText(static_cast<double>(bytes)); }

void AppendLine(std::string* text, absl::string_view name, absl::string_view value) {
  absl::StrAppend(text, absl::StrFormat("%-18s", name), value, "\n");
}

void AppendFacts(const Model& model, const Inspection& inspection, std::string* text) {
  for (const auto& [name, value] : KeyFacts(model)) AppendLine(text, name, value);
  const ParameterCount& count = inspection.parameters;
  std::string parameters = CountText(static_cast<double>(count.total));
  if (count.active < count.total) {
    absl::StrAppend(&parameters, ", of which a token uses ",
                    CountText(static_cast<double>(count.active)));
  }
  AppendLine(text, "parameters", absl::StrCat(parameters, " (", count.total, ")"));
}

void AppendFormats(const std::vector<FormatUse>& formats, std::string* text) {
  std::vector<Row> rows = {{"format", "tensors", "elements", "size", "bits each"}};
  FormatUse sum;
  for (const FormatUse& use : formats) {
    rows.push_back({std::string(Name(use.dtype)), absl::StrCat(use.tensors),
                    absl::StrCat(use.elements), Bytes(use.bytes),
                    absl::StrFormat("%.2f", 8 * static_cast<double>(use.bytes) /
                                                static_cast<double>(use.elements))});
    sum.tensors += use.tensors;
    sum.elements += use.elements;
    sum.bytes += use.bytes;
  }
  rows.push_back({"all", absl::StrCat(sum.tensors), absl::StrCat(sum.elements), Bytes(sum.bytes),
                  absl::StrFormat("%.2f", 8 * static_cast<double>(sum.bytes) /
                                              static_cast<double>(sum.elements))});
  absl::StrAppend(text, "\nTensors by format\n\n", MarkdownTable(rows));
}

void AppendPlan(const ModelPlan& plan, std::string* text) {
  const MemoryPlan& memory = plan.buckets.back().memory;
  absl::StrAppend(text, "\nMemory for a context of ", plan.context, " tokens\n\n");
  AppendLine(text, "weights", absl::StrCat(Bytes(memory.weights), ", mapped"));
  if (plan.packed_bytes > 0) AppendLine(text, "packed weights", Bytes(plan.packed_bytes));
  AppendLine(text, "KV cache",
             absl::StrCat(Bytes(plan.cache_bytes), ", ", BytesText(plan.cache_bytes_per_token),
                          " a token"));
  std::vector<Row> rows = {{"tokens of a step", "nodes", "arena", "activations", "scratch",
                            "constants", "lower bound", "arena / bound"}};
  for (const BucketPlan& bucket : plan.buckets) {
    const MemoryPlan& m = bucket.memory;
    const double ratio =
        m.lower_bound > 0 ? static_cast<double>(m.arena) / static_cast<double>(m.lower_bound) : 1;
    rows.push_back({absl::StrCat(bucket.tokens), absl::StrCat(bucket.graph.nodes().size()),
                    Bytes(m.arena), Bytes(m.activations), Bytes(m.scratch), Bytes(m.constants),
                    Bytes(m.lower_bound), absl::StrFormat("%.3f", ratio)});
  }
  absl::StrAppend(text, "\n", MarkdownTable(rows));
}

std::string FitText(const Inspection& inspection) {
  const Fit& fit = inspection.fit;
  const std::string numbers = absl::StrCat(
      "a full context of ", inspection.plan.context, " tokens needs ", Bytes(fit.needed), ", ",
      Bytes(fit.available), " available (", inspection.machine.limited_by, ")");
  if (fit.fits()) {
    return absl::StrCat("fits: ", numbers, "; up to -c ", fit.largest_context, " would");
  }
  return absl::StrCat("does not fit: ", numbers,
                      fit.largest_context > 0
                          ? absl::StrCat("; -c ", fit.largest_context, " would fit")
                          : std::string("; no context would fit"));
}

void AppendPeak(const Inspection& inspection, std::string* text) {
  absl::StrAppend(text, "\nPeak memory, predicted for ",
                  inspection.prompt > 0
                      ? absl::StrCat("a prompt of ", inspection.prompt, " tokens in a context of ",
                                     inspection.plan.context)
                      : absl::StrCat("a full context of ", inspection.plan.context, " tokens"),
                  "\n\n");
  for (const auto& [name, field] : PeakFields()) {
    if (inspection.peak.*field > 0) AppendLine(text, name, Bytes(inspection.peak.*field));
  }
  AppendLine(text, "together", Bytes(inspection.peak.total()));
  absl::StrAppend(text, "\n", FitText(inspection), "\n");
}

// The groups that parts are summed up to, in the order of a step.
constexpr std::array<absl::string_view, 5> kGroups = {"embedding", "attention", "ffn", "output",
                                                      "other"};

OpCost CostOfGroup(const StepCost& cost, absl::string_view group) {
  OpCost sum;
  for (size_t part = 0; part < kPartCount; ++part) {
    if (Group(static_cast<Part>(part)) == group) sum = sum + cost.parts[part];
  }
  return sum;
}

void AppendDecode(const Inspection& inspection, const ReportOptions& options, std::string* text) {
  if (inspection.decode.empty()) return;
  std::vector<Row> rows = {{"tokens in the context", "flops", "read", "of weights", "written"}};
  for (const absl::string_view group : kGroups) rows[0].push_back(absl::StrCat(group, " read"));
  if (options.ceiling.has_value()) rows[0].push_back("tokens/s at most");
  for (const DecodeCost& decode : inspection.decode) {
    const OpCost& total = decode.cost.total;
    Row row = {absl::StrCat(decode.length), CountText(total.flops), BytesText(total.bytes_read),
               BytesText(decode.cost.weight_bytes), BytesText(total.bytes_written)};
    for (const absl::string_view group : kGroups) {
      row.push_back(BytesText(CostOfGroup(decode.cost, group).bytes_read));
    }
    if (options.ceiling.has_value()) {
      row.push_back(absl::StrFormat("%.1f", DecodeBound(decode.cost, *options.ceiling)));
    }
    rows.push_back(std::move(row));
  }
  absl::StrAppend(text, "\nA decode step of one sequence\n\n", MarkdownTable(rows));
  if (!options.ceiling.has_value()) return;
  absl::StrAppend(text, "\n", CeilingText(*options.ceiling));
}

void AppendSchedule(const Inspection& inspection, std::string* text) {
  const StepSchedule& schedule = inspection.schedule;
  if (schedule.kinds.empty()) return;
  const auto row = [](std::string layers, std::string op, const NodeWork& work) {
    return Row{std::move(layers),
               std::move(op),
               work.kernel,
               absl::StrCat(work.dispatches),
               absl::StrCat(work.copies),
               absl::StrCat(work.barriers)};
  };
  std::vector<Row> rows = {{"layers", "op", "kernel", "dispatches", "copies", "barriers"}};
  for (const LayerWork& kind : schedule.kinds) {
    const std::string layers = LayersText(kind.layers);
    for (const NodeWork& node : kind.nodes) {
      rows.push_back(row(layers, node.op.empty() ? "(inputs)" : node.op, node));
    }
    if (kind.layers.size() > 1) rows.push_back(row(layers, "each of them", kind.Sum()));
  }
  rows.push_back(row("all", "", schedule.total));
  const int64_t tokens = inspection.plan.buckets.front().tokens;
  absl::StrAppend(text, "\nThe device's work in a step of ",
                  tokens == 1 ? "one token" : absl::StrCat("up to ", tokens, " tokens"), "\n\n",
                  MarkdownTable(rows),
                  "\nBytes of results that are copied to the host: ", inspection.output_bytes,
                  "\n");
}

}  // namespace

std::string InspectionText(const Model& model, const Inspection& inspection,
                           const ReportOptions& options) {
  std::string text;
  AppendFacts(model, inspection, &text);
  AppendFormats(inspection.formats, &text);
  AppendPlan(inspection.plan, &text);
  absl::StrAppend(&text, PlacementText(inspection.placement));
  AppendDecode(inspection, options, &text);
  AppendSchedule(inspection, &text);
  AppendPeak(inspection, &text);
  if (!options.all_metadata) return text;
  text += "\nMetadata\n\n";
  for (const auto& [key, value] : AllMetadata(model.file())) {
    absl::StrAppend(&text, key, " = ", value, "\n");
  }
  return text;
}

}  // namespace sluice
