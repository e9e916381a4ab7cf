#include "tools/terminal/units.h"

#include <array>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace sluice {
namespace {

std::string Scaled(double value, double step, absl::Span<const absl::string_view> units) {
  size_t unit = 0;
  for (; value >= step && unit + 1 < units.size(); ++unit) value /= step;
  if (unit == 0) return absl::StrFormat("%.0f%s", value, units[0]);
  return absl::StrFormat("%.2f%s", value, units[unit]);
}

}  // namespace

std::string BytesText(double bytes) {
  constexpr std::array<absl::string_view, 5> kUnits = {" B", " KiB", " MiB", " GiB", " TiB"};
  return Scaled(bytes, 1024, kUnits);
}

std::string CountText(double count) {
  constexpr std::array<absl::string_view, 5> kUnits = {"", " k", " M", " G", " T"};
  return Scaled(count, 1000, kUnits);
}

}  // namespace sluice
