// What the numbers of a tensor look like, in a few figures.
#pragma once

#include <cstdint>
#include <string>

#include "graph/tensor.h"

namespace sluice {

struct Statistics {
  int64_t count = 0;
  int64_t nans = 0, infinities = 0;
  // Over the finite values; 0 where there is none.
  double min = 0, max = 0, mean = 0, rms = 0;

  bool all_finite() const { return nans == 0 && infinities == 0; }
  // "min -1.2, max 3.4, mean 0.1, rms 0.9", and "; 3 of 64 NaN" where there are any.
  std::string ToString() const;
};

// Of a tensor of any dtype that can be decoded, or i32. Weights in pieces included.
Statistics StatisticsOf(const TensorView& view);

}  // namespace sluice
