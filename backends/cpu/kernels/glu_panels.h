// Gate and up panels of the same output columns, one after the other, so that the activation and
// the product happen while both are in cache.
#pragma once

#include <cstdint>

#include "backends/cpu/kernels/activation.h"
#include "backends/cpu/kernels/panel.h"

namespace sluice::cpu {

class GluPanels {
 public:
  // `split` is that of both weights; `max_rows` bounds the rows of activations at a time.
  GluPanels(const PanelSplit& split, Layout layout, int64_t max_rows, GateFunction gate);

  // Working memory of one thread: floats.
  int64_t scratch_floats() const;

  // y[i, j] = act(gate[j,:] . x[i,:]) * (up[j,:] . x[i,:]) for the panel's rows j of the weights;
  // `y` points at column 0.
  void Multiply(const WeightMatrix& gate, const WeightMatrix& up, int64_t panel, const InputRows& x,
                float* y, int64_t y_stride, float* scratch) const;

 private:
  PanelSplit split_;
  int64_t up_offset_;  // both weights are expanded at a time, but decoded one after the other
  int64_t max_rows_;   // at a time
  GateFunction gate_;
};

}  // namespace sluice::cpu
