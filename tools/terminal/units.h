// Sizes and counts as people read them.
#pragma once

#include <string>

namespace sluice {

std::string BytesText(double bytes);  // "512 B", "1.50 KiB", "18.45 GiB"
std::string CountText(double count);  // "512", "1.50 k", "30.53 G"

}  // namespace sluice
