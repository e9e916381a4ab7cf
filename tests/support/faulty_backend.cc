#include "tests/support/faulty_backend.h"

#include <utility>
#include <vector>

namespace sluice {
namespace {

class FaultyBackend : public Backend {
 public:
  FaultyBackend(std::unique_ptr<Backend> inner, DType format)
      : inner_(std::move(inner)), format_(format) {}

  absl::string_view name() const override { return inner_->name(); }
  const proto::DeviceCaps& caps() const override { return inner_->caps(); }
  const KernelSet* kernels() const override { return inner_->kernels(); }
  absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t bytes) override {
    return inner_->Allocate(bytes);
  }

  absl::StatusOr<std::unique_ptr<Executable>> Compile(Graph graph,
                                                      const WeightTable& weights) override {
    WeightTable& faulty = *tables_.emplace_back(std::make_unique<WeightTable>(weights));
    for (const auto& weight : graph.weights()) {
      if (weight->type().dtype != format_) continue;
      absl::Span<const std::byte>& piece = faulty.at(weight->name())[0];
      std::vector<std::byte>& copy = copies_.emplace_back(piece.begin(), piece.end());
      copy[1] ^= std::byte{0x80};  // the sign of the little-endian f16 that a block begins with
      piece = copy;
    }
    return inner_->Compile(std::move(graph), faulty);
  }

 private:
  std::unique_ptr<Backend> inner_;
  DType format_;
  // Both outlive the executables. A moved vector keeps its bytes where they are.
  std::vector<std::unique_ptr<WeightTable>> tables_;
  std::vector<std::vector<std::byte>> copies_;
};

}  // namespace

std::unique_ptr<Backend> MakeFaultyBackend(std::unique_ptr<Backend> inner, DType format) {
  return std::make_unique<FaultyBackend>(std::move(inner), format);
}

}  // namespace sluice
