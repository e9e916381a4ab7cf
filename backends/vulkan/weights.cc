#include "backends/vulkan/weights.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "backends/vulkan/formats.h"
#include "backends/vulkan/lowering.h"
#include "graph/formats/dequantize.h"
#include "graph/formats/quantize.h"
#include "graph/status_macros.h"

namespace sluice::vulkan {
namespace {

constexpr int64_t kChunkBytes = 256 << 20;

}  // namespace

int64_t StoredBytes(const TensorView& view) {
  TensorView stored = view;
  stored.dtype = StoredAs(view.dtype);
  return stored.bytes();
}

absl::StatusOr<std::vector<SharedWeight>> WeightStore::Get(const Graph& graph,
                                                           absl::Span<const TensorView> views) {
  std::vector<SharedWeight> weights(views.size());
  std::vector<std::pair<std::shared_ptr<DeviceWeight>, size_t>> chunk;  // with the weight's index
  int64_t chunk_bytes = 0;
  const auto upload_chunk = [&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(
        const std::shared_ptr<const DeviceBuffer> buffer,
        DeviceBuffer::Create(device_, chunk_bytes, MemoryKind::kDevice,
                             absl::StrCat(chunk.size(), " weights of ", graph.name())));
    for (const auto& [weight, index] : chunk) {
      weight->chunk = buffer;
      SLUICE_RETURN_IF_ERROR(Upload(views[index], *weight));
    }
    chunk.clear();
    chunk_bytes = 0;
    return absl::OkStatus();
  };
  const int64_t most = std::min(kChunkBytes, device_.info().max_allocation_bytes);
  for (size_t i = 0; i < views.size(); ++i) {
    const std::byte* data = views[i].slices.empty() ? views[i].data : views[i].slices[0];
    auto& known = known_[{data, graph.weights()[i]->type().ToString()}];
    weights[i] = known.lock();
    if (weights[i] != nullptr) continue;
    const int64_t bytes = StoredBytes(views[i]);
    if (!chunk.empty() && chunk_bytes + bytes > most) SLUICE_RETURN_IF_ERROR(upload_chunk());
    chunk.emplace_back(
        std::make_shared<DeviceWeight>(DeviceWeight{.offset = chunk_bytes, .bytes = bytes}), i);
    known = weights[i] = chunk.back().first;
    chunk_bytes += AlignBinding(bytes);
  }
  if (!chunk.empty()) SLUICE_RETURN_IF_ERROR(upload_chunk());
  return weights;
}

absl::Status WeightStore::Upload(const TensorView& view, const DeviceWeight& weight) {
  const int64_t pieces = view.slices.empty() ? 1 : static_cast<int64_t>(view.slices.size());
  for (int64_t i = 0; i < pieces; ++i) {
    const std::byte* begin = view.slices.empty() ? view.data : view.Slice(i);
    const absl::Span<const std::byte> data(begin, static_cast<size_t>(view.bytes() / pieces));
    const int64_t offset = weight.offset + weight.bytes / pieces * i;
    SLUICE_RETURN_IF_ERROR(
        StoredAs(view.dtype) == view.dtype
            ? transfer_.Upload(data, *weight.chunk, offset)
            : UploadDecoded(view.dtype, data, view.cols(), *weight.chunk, offset));
  }
  return absl::OkStatus();
}

absl::Status WeightStore::UploadDecoded(DType dtype, absl::Span<const std::byte> data,
                                        int64_t row_elements, const DeviceBuffer& chunk,
                                        int64_t offset) {
  constexpr int64_t kBatchElements = 1 << 20;
  const DequantizeFn decode = DequantizerFor(dtype);
  const QuantizeFn encode = QuantizerFor(DType::kF16);
  const DTypeInfo& info = Info(dtype);
  const int64_t row_bytes = row_elements / info.elements_per_block * info.bytes_per_block;
  const int64_t rows = static_cast<int64_t>(data.size()) / row_bytes;
  const int64_t batch = std::clamp<int64_t>(kBatchElements / row_elements, 1, rows);
  std::vector<float> floats(static_cast<size_t>(batch * row_elements));
  std::vector<std::byte> halves(floats.size() * sizeof(uint16_t));
  for (int64_t row = 0; row < rows; row += batch) {
    const int64_t elements = std::min(batch, rows - row) * row_elements;
    decode(data.data() + row * row_bytes, elements, floats.data());
    encode(floats.data(), elements, halves.data());
    const auto bytes = static_cast<size_t>(elements) * sizeof(uint16_t);
    SLUICE_RETURN_IF_ERROR(
        transfer_.Upload(absl::MakeConstSpan(halves.data(), bytes), chunk, offset));
    offset += static_cast<int64_t>(bytes);
  }
  return absl::OkStatus();
}

}  // namespace sluice::vulkan
