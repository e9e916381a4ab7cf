// CPU kernels of the layout family. reshape is a view and needs none.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "backends/cpu/step.h"
#include "graph/formats/half.h"
#include "graph/ops/layout.h"

namespace sluice::cpu {
namespace {

class GatherRowsStep : public Step {
 public:
  absl::Status Run(const StepArgs& args) override {
    const auto in = As<GatherRowsCall>(args);
    const TensorView &x = in.x, &rows = in.rows;
    const auto row_bytes = static_cast<size_t>(x.row_bytes());
    for (int64_t i = 0; i < rows.elements(); ++i) {
      const int32_t row = rows.i32()[i];
      if (row < 0 || row >= x.dim(0)) {
        return absl::OutOfRangeError(
            absl::StrCat("row index ", row, " is not in 0 to ", x.dim(0) - 1));
      }
      std::memcpy(args.results[0].data + static_cast<size_t>(i) * row_bytes,
                  x.data + static_cast<size_t>(row) * row_bytes, row_bytes);
    }
    return absl::OkStatus();
  }
};

// Bytes of one index of `axis`, and the number of indices of the dimensions before it.
int64_t InnerBytes(const TensorView& view, int64_t axis) {
  int64_t elements = 1;
  for (int64_t i = axis + 1; i < view.rank(); ++i) elements *= view.dim(i);
  return elements * Info(view.dtype).bytes_per_block / Info(view.dtype).elements_per_block;
}
int64_t OuterCount(const TensorView& view, int64_t axis) {
  int64_t count = 1;
  for (int64_t i = 0; i < axis; ++i) count *= view.dim(i);
  return count;
}

class SliceStep : public Step {
 public:
  SliceStep(int64_t axis, int64_t begin) : axis_(axis), begin_(begin) {}
  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = As<UnaryCall>(args).x;
    const TensorView& y = args.results[0];
    const int64_t inner = InnerBytes(x, axis_);
    const int64_t piece = y.dim(axis_) * inner;
    for (int64_t i = 0; i < OuterCount(x, axis_); ++i) {
      std::memcpy(y.data + i * piece, x.data + (i * x.dim(axis_) + begin_) * inner,
                  static_cast<size_t>(piece));
    }
    return absl::OkStatus();
  }

 private:
  int64_t axis_, begin_;
};

class ConcatStep : public Step {
 public:
  explicit ConcatStep(int64_t axis) : axis_(axis) {}
  absl::Status Run(const StepArgs& args) override {
    const TensorView& y = args.results[0];
    const int64_t inner = InnerBytes(y, axis_);
    int64_t offset = 0;  // along the axis
    for (const TensorView& x : args.operands) {
      const int64_t piece = x.dim(axis_) * inner;
      for (int64_t i = 0; i < OuterCount(x, axis_); ++i) {
        std::memcpy(y.data + (i * y.dim(axis_) + offset) * inner, x.data + i * piece,
                    static_cast<size_t>(piece));
      }
      offset += x.dim(axis_);
    }
    return absl::OkStatus();
  }

 private:
  int64_t axis_;
};

class CopyStep : public Step {
 public:
  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = As<UnaryCall>(args).x;
    std::memcpy(args.results[0].data, x.data, static_cast<size_t>(x.bytes()));
    return absl::OkStatus();
  }
};

class CastStep : public Step {
 public:
  absl::Status Run(const StepArgs& args) override {
    const TensorView& x = As<UnaryCall>(args).x;
    const TensorView& y = args.results[0];
    for (int64_t i = 0; i < x.elements(); ++i) Store(y, i, Load(x, i));
    return absl::OkStatus();
  }

 private:
  // f64 holds every value of the four dtypes exactly.
  static double Load(const TensorView& x, int64_t i) {
    switch (x.dtype) {
      case DType::kF16:
        return F32FromF16(x.As<uint16_t>()[i]);
      case DType::kBF16:
        return F32FromBf16(x.As<uint16_t>()[i]);
      case DType::kI32:
        return x.i32()[i];
      default:
        return x.f32()[i];
    }
  }
  // Toward zero, saturating; NaN becomes 0.
  static int32_t Truncate(double value) {
    constexpr double kLow = std::numeric_limits<int32_t>::min();
    constexpr double kHigh = std::numeric_limits<int32_t>::max();
    return std::isnan(value) ? 0 : static_cast<int32_t>(std::clamp(value, kLow, kHigh));
  }
  static void Store(const TensorView& y, int64_t i, double value) {
    switch (y.dtype) {
      case DType::kF16:
        y.As<uint16_t>()[i] = F16FromF32(static_cast<float>(value));
        break;
      case DType::kBF16:
        y.As<uint16_t>()[i] = Bf16FromF32(static_cast<float>(value));
        break;
      case DType::kI32:
        y.i32()[i] = Truncate(value);
        break;
      default:
        y.f32()[i] = static_cast<float>(value);
    }
  }
};

absl::StatusOr<std::unique_ptr<Step>> LowerGatherRows(const LowerContext&) {
  return std::make_unique<GatherRowsStep>();
}
absl::StatusOr<std::unique_ptr<Step>> LowerSlice(const LowerContext& context) {
  return std::make_unique<SliceStep>(context.call.Int("axis"), context.call.Int("begin"));
}
absl::StatusOr<std::unique_ptr<Step>> LowerConcat(const LowerContext& context) {
  return std::make_unique<ConcatStep>(context.call.Int("axis"));
}
absl::StatusOr<std::unique_ptr<Step>> LowerCopy(const LowerContext&) {
  return std::make_unique<CopyStep>();
}
absl::StatusOr<std::unique_ptr<Step>> LowerCast(const LowerContext&) {
  return std::make_unique<CastStep>();
}

}  // namespace

void AddLayoutKernels(std::vector<CpuKernel>* kernels) {
  const auto add = [&](const char* name, const char* op, const char* doc, auto lower) {
    kernels->push_back({{name, op, doc, AcceptsAll}, lower});
  };
  add("cpu.gather_rows", "gather_rows", "copies rows", LowerGatherRows);
  add("cpu.slice", "slice", "copies runs of bytes", LowerSlice);
  add("cpu.concat", "concat", "copies runs of bytes", LowerConcat);
  add("cpu.copy", "copy", "copies bytes, from another device's by way of the host", LowerCopy);
  add("cpu.cast", "cast", "element by element, through f64", LowerCast);
}

}  // namespace sluice::cpu
