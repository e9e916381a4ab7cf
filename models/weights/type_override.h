// "REGEX=TYPE": the format that a user wants for the tensors whose names a pattern matches.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graph/dtype.h"

namespace sluice {

class TypeOverride {
 public:
  // The pattern, up to the last '=', is a PCRE2 expression that may match anywhere in a name. The
  // type is the name of a format that has an encoder, in any case. Errors quote the text.
  static absl::StatusOr<TypeOverride> Parse(absl::string_view text);
  ~TypeOverride();
  TypeOverride(TypeOverride&&) noexcept;
  TypeOverride& operator=(TypeOverride&&) noexcept;

  DType dtype() const { return dtype_; }
  // An error where the pattern takes too long to match: some take exponential time. Not for several
  // threads at once.
  absl::StatusOr<bool> Matches(absl::string_view name) const;

 private:
  class Expression;
  TypeOverride();

  std::string text_;
  DType dtype_ = DType::kF32;
  std::unique_ptr<Expression> expression_;
};

}  // namespace sluice
