// Qwen 3 with experts: the layer of Qwen 3, whose feed-forward block routes where it has a router.
#include "models/architectures/architecture.h"

namespace sluice {

constinit const Architecture kQwen3Moe = {
    .name = "qwen3moe",
    .layer = [](DecoderLayer& l, Value* x) { return kQwen3.layer(l, x); },
    .experts_share_feed_forward = true};

}  // namespace sluice
