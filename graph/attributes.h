// Attributes of nodes and graphs: a short, sorted list of named, typed values.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "graph/type.h"

namespace sluice {

// The order is that of AttrValue's alternatives.
enum class AttrKind : uint8_t { kInt, kFloat, kBool, kString, kShape };
using AttrValue = std::variant<int64_t, double, bool, std::string, Shape>;

inline AttrKind KindOf(const AttrValue& value) { return static_cast<AttrKind>(value.index()); }
absl::string_view Name(AttrKind kind);  // "int", "float", "bool", "string", "shape"

// As in graph text. Floats are the shortest decimals that read back to the same double and always
// have a '.', an 'e', "inf" or "nan"; strings that read back as words stand bare, others in quotes.
std::string ToString(const AttrValue& value);
// `text` in double quotes, escaped as in C. Bytes from 0x80 on stay as they are.
std::string Quote(absl::string_view text);

// Per node or graph: keeps hostile input cheap, far above what an op has.
inline constexpr size_t kMaxAttributes = 256;

class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<std::string, AttrValue>> entries);

  void Set(absl::string_view name, AttrValue value);
  void Erase(absl::string_view name);
  const AttrValue* Find(absl::string_view name) const;  // nullptr if absent
  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  auto begin() const { return entries_.begin(); }  // sorted by name
  auto end() const { return entries_.end(); }

  std::string ToString() const;  // "{act=silu, k=8}", "" if empty
  friend bool operator==(const Attributes&, const Attributes&) = default;

 private:
  std::vector<std::pair<std::string, AttrValue>> entries_;
};

// The double whose shortest decimal form is that of `value`: 1e-06f becomes 1e-06 and not
// 9.99999997e-07, and converts back to the same float. For attributes that come from f32 metadata.
double ShortestDouble(float value);

}  // namespace sluice
