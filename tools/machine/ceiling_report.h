// Ceilings for people and for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tools/machine/ceilings.h"

namespace sluice {

// Two lines: arithmetic, and bytes a second by how many bytes are gone over, some of those that
// were measured. One where only memory was.
std::string CeilingText(const Ceiling& ceiling);

// device, threads, "operations_per_second" by kind of arithmetic, "transfers" as [bytes, bytes a
// second], and "read_bytes_per_second", that of memory.
nlohmann::ordered_json CeilingJson(const Ceiling& ceiling);

}  // namespace sluice
