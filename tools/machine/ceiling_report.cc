#include "tools/machine/ceiling_report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/terminal/units.h"

namespace sluice {
namespace {

constexpr Arithmetic kByRate[] = {Arithmetic::kInt8, Arithmetic::kBf16, Arithmetic::kF32};
constexpr size_t kShownStep = 3;  // a rate for every eight times as many bytes is enough to read

double RateOf(const Ceiling& ceiling, Arithmetic arithmetic) {
  return ceiling.operations_per_second[static_cast<size_t>(arithmetic)];
}

}  // namespace

std::string CeilingText(const Ceiling& ceiling) {
  if (!ceiling.device.empty()) {
    return absl::StrFormat("At most, measured by copying on %s: %.1f GB/s\n", ceiling.device,
                           ceiling.MemoryBytesPerSecond() / 1e9);
  }
  std::string text = absl::StrFormat("At most, measured on %d thread%s:", ceiling.threads,
                                     ceiling.threads == 1 ? "" : "s");
  absl::string_view separator = " ";
  for (const Arithmetic arithmetic : kByRate) {
    absl::StrAppendFormat(&text, "%s%s multiply-add %.1f GOP/s", separator, Name(arithmetic),
                          RateOf(ceiling, arithmetic) / 1e9);
    separator = ", ";
  }
  absl::StrAppend(&text, "\nand of so many bytes, over and over:");
  separator = " ";
  for (size_t i = 0; i < ceiling.transfers.size(); ++i) {
    if (i % kShownStep != 0 && i + 1 != ceiling.transfers.size()) continue;
    const TransferRate& transfer = ceiling.transfers[i];
    absl::StrAppendFormat(&text, "%s%s %.1f GB/s", separator,
                          BytesText(static_cast<double>(transfer.bytes)),
                          transfer.bytes_per_second / 1e9);
    separator = ", ";
  }
  return text + "\n";
}

nlohmann::ordered_json CeilingJson(const Ceiling& ceiling) {
  nlohmann::ordered_json json = {{"device", ceiling.device},
                                 {"threads", ceiling.threads},
                                 {"read_bytes_per_second", ceiling.MemoryBytesPerSecond()}};
  for (const Arithmetic arithmetic : kByRate) {
    json["operations_per_second"][std::string(Name(arithmetic))] = RateOf(ceiling, arithmetic);
  }
  json["transfers"] = nlohmann::ordered_json::array();
  for (const TransferRate& transfer : ceiling.transfers) {
    json["transfers"].push_back({transfer.bytes, transfer.bytes_per_second});
  }
  return json;
}

}  // namespace sluice
