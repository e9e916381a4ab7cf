// A second device for tests without one: another backend under the name "other".
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "backends/backend.h"

namespace sluice {

// `inner`, without its kernels for the op `lacks`.
inline std::unique_ptr<Backend> MakeOtherDevice(std::unique_ptr<Backend> inner,
                                                const std::string& lacks) {
  class Other : public Backend {
   public:
    Other(std::unique_ptr<Backend> renamed, const std::string& without)
        : inner_(std::move(renamed)), caps_(inner_->caps()) {
      caps_.set_backend("other");
      for (const Kernel& kernel : inner_->kernels()->kernels()) {
        if (kernel.op != without) kernels_.Add(kernel);
      }
      for (const WeightLayout& layout : inner_->kernels()->layouts()) kernels_.AddLayout(layout);
    }
    absl::string_view name() const override { return "other"; }
    const proto::DeviceCaps& caps() const override { return caps_; }
    const KernelSet* kernels() const override { return &kernels_; }
    absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t bytes) override {
      return inner_->Allocate(bytes);
    }
    absl::StatusOr<std::unique_ptr<Executable>> Compile(Graph graph,
                                                        const WeightTable& weights) override {
      return inner_->Compile(std::move(graph), weights);
    }

   private:
    std::unique_ptr<Backend> inner_;
    proto::DeviceCaps caps_;
    KernelSet kernels_;
  };
  return std::make_unique<Other>(std::move(inner), lacks);
}

}  // namespace sluice
