// What a dispatch is given by name, barriers from declared reads and writes, and the independent
// check of them. Needs no device.
#include "backends/vulkan/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "backends/vulkan/lowering.h"
#include "backends/vulkan/shaders/product.inc"
#include "backends/vulkan/shaders/rms_norm.inc"
#include "graph/text.h"

namespace sluice::vulkan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Span Bytes(int64_t offset, int64_t bytes) {
  return {.region = Region::kArena, .offset = offset, .bytes = bytes};
}
Command Does(std::vector<Binding> bindings) { return {.bindings = std::move(bindings)}; }

std::vector<bool> Barriers(const std::vector<Command>& commands) {
  std::vector<bool> barriers;
  for (const Command& command : commands) barriers.push_back(command.barrier_before);
  return barriers;
}

TEST(Overlap, NeedsSharedBytesOfTheSameMemory) {
  EXPECT_TRUE(Overlap(Bytes(0, 64), Bytes(63, 1)));
  EXPECT_FALSE(Overlap(Bytes(0, 64), Bytes(64, 64)));
  Span weight = Bytes(0, 64), other = weight;
  weight.region = other.region = Region::kWeight;
  EXPECT_FALSE(Overlap(Bytes(0, 64), weight));
  other.index = 1;
  EXPECT_FALSE(Overlap(weight, other));
}

TEST(PlaceBarriers, OneForEachKindOfConflict) {
  std::vector<Command> read_after_write = {Does({Writes(Bytes(0, 64))}),
                                           Does({Reads(Bytes(0, 64))})};
  std::vector<Command> write_after_read = {Does({Reads(Bytes(0, 64))}),
                                           Does({Writes(Bytes(0, 64))})};
  std::vector<Command> write_after_write = {Does({Writes(Bytes(0, 64))}),
                                            Does({Writes(Bytes(32, 64))})};
  for (auto* commands : {&read_after_write, &write_after_read, &write_after_write}) {
    PlaceBarriers(commands);
    EXPECT_EQ(Barriers(*commands), (std::vector<bool>{false, true}));
  }
  std::vector<Command> reads = {Does({Reads(Bytes(0, 64))}), Does({Reads(Bytes(0, 64))})};
  PlaceBarriers(&reads);
  EXPECT_EQ(Barriers(reads), (std::vector<bool>{false, false}));
}

TEST(PlaceBarriers, IndependentCommandsShareOne) {
  // x -> q, k, v side by side, then what reads all three.
  std::vector<Command> commands = {
      Does({Writes(Bytes(0, 64))}),
      Does({Reads(Bytes(0, 64)), Writes(Bytes(64, 64))}),
      Does({Reads(Bytes(0, 64)), Writes(Bytes(128, 64))}),
      Does({Reads(Bytes(0, 64)), Writes(Bytes(192, 64))}),
      Does({Reads(Bytes(64, 192)), Writes(Bytes(0, 64))}),
  };
  PlaceBarriers(&commands);
  EXPECT_EQ(Barriers(commands), (std::vector<bool>{false, true, false, false, true}));
}

std::vector<Command> RandomCommands(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Command> commands;
  for (int i = 0; i < 40; ++i) {
    std::vector<Binding> bindings;
    for (uint64_t b = 0; b < 1 + random() % 3; ++b) {
      const Span span = Bytes(static_cast<int64_t>(random() % 16 * 64),
                              static_cast<int64_t>((1 + random() % 3) * 64));
      bindings.push_back(random() % 2 == 0 ? Reads(span) : Writes(span));
    }
    commands.push_back(Does(std::move(bindings)));
  }
  return commands;
}

TEST(CheckHazards, FindsEveryBarrierThatIsMissing) {
  int removed = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    std::vector<Command> commands = RandomCommands(seed);
    PlaceBarriers(&commands);
    ASSERT_TRUE(CheckHazards(commands).ok()) << CheckHazards(commands);
    for (Command& command : commands) {
      if (!command.barrier_before) continue;
      command.barrier_before = false;
      EXPECT_EQ(CheckHazards(commands).code(), absl::StatusCode::kInternal) << "seed " << seed;
      command.barrier_before = true;
      ++removed;
    }
  }
  EXPECT_GT(removed, 500);  // the schedules have what is tested
}

TEST(CheckHazards, NamesBothCommands) {
  const std::vector<Command> commands = {Does({Writes(Bytes(0, 4))}), Does({}),
                                         Does({Reads(Bytes(0, 4))})};
  EXPECT_THAT(std::string(CheckHazards(commands).message()),
              testing::AllOf(HasSubstr("command 0"), HasSubstr("command 2")));
}

// Numbers are those of the file that the shader has, whatever order members are given in.
TEST(ShaderCall, HasConstantsAndBuffersByNumber) {
  const product::Constants constants = {
      .formats = {.WEIGHTS = 2, .FORMAT0 = 7, .FORMAT1 = 8, .FORMAT2 = 9},
      .RESULTS = 1,
      .ACTIVATION = product::GELU,
      .BLOCK_ROWS = 4,
      .M = 16,
      .N = 8,
      .K = 32,
      .LANES = 64};
  EXPECT_THAT(ConstantsOf(constants), ElementsAre(2, 7, 8, 9, 1, product::GELU, 4, 16, 8, 32, 64));
  const product::Bindings bindings = {.weights = {Bytes(64, 4), Bytes(128, 4)},
                                      .bias = {Bytes(192, 4), Bytes(256, 4)},
                                      .y = {Bytes(320, 4)},
                                      .x = Bytes(384, 4),
                                      .index = Bytes(448, 4),
                                      .errors = Bytes(512, 4)};
  const product::Parameters parameters = {.rows = {.factor = 5, .symbol = 1},
                                          .columns = 6,
                                          .experts = 0,
                                          .mode = product::INDEXED,
                                          .slots_per_row = 0,
                                          .has_bias = 0,
                                          .parts = {}};
  const ShaderCall call = MakeShaderCall("matvec", {}, bindings, parameters);
  EXPECT_THAT(call.arrays, ElementsAre(1, 2, 2, 1, 1, 1, 1));
  ASSERT_EQ(call.buffers.size(), 9);
  EXPECT_EQ(call.buffers[0].span.region, Region::kStep);
  for (size_t i = 1; i < call.buffers.size(); ++i) {
    EXPECT_EQ(call.buffers[i].span.offset, static_cast<int64_t>(64 * i)) << i;
    const bool is_written = i == 5 || i == 8;
    EXPECT_EQ(call.buffers[i].access, is_written ? Access::kWrite : Access::kRead) << i;
  }
  ASSERT_GE(call.push.size(), 5);
  EXPECT_EQ(call.push[0], 5);
  EXPECT_EQ(call.push[1], 1);
  EXPECT_EQ(call.push[2], 6);
  EXPECT_EQ(call.push[4], product::INDEXED);
}

TEST(ShaderCall, IsRefusedWithABindingLeftOut) {
  const absl::StatusOr<Graph> graph =
      Parse("graph g\ninput %x : f32[4]\n%y = silu(%x) : f32[4]\noutput %y\n", "test");
  ASSERT_TRUE(graph.ok()) << graph.status();
  const DeviceInfo device = {.max_binding_bytes = 1024, .max_groups = 1};
  Program program;
  Lowering out(*graph, *graph->nodes()[0], device, /*pipelines=*/nullptr, &program);
  rms_norm::Bindings bindings = {
      .x = Bytes(0, 4), .gain = Bytes(0, 4), .y = {}, .b = {}, .sum = {}};
  EXPECT_THAT(
      std::string(out.Dispatch("rms_norm", bindings, rms_norm::Parameters(), {1, 1, 1}).message()),
      HasSubstr("a binding of 'rms_norm' was left out"));
  bindings.y = Bytes(64, 4);
  EXPECT_TRUE(out.Dispatch("rms_norm", bindings, rms_norm::Parameters(), {1, 1, 1}).ok());
  EXPECT_EQ(program.commands.size(), 1);
}

TEST(ShaderCall, LacksWhatAVariantLacks) {
  rms_norm::Bindings bindings = {
      .x = Bytes(0, 4), .gain = Bytes(0, 4), .y = Bytes(0, 4), .b = {}, .sum = {}};
  EXPECT_EQ(MakeShaderCall("rms_norm", {}, bindings, rms_norm::Parameters()).buffers.size(), 4);
  bindings.b = Bytes(64, 4);
  bindings.sum = Bytes(128, 4);
  const ShaderCall call = MakeShaderCall("add_rms_norm", {}, bindings, rms_norm::Parameters());
  ASSERT_EQ(call.buffers.size(), 6);
  EXPECT_EQ(call.buffers[4].access, Access::kRead);
  EXPECT_EQ(call.buffers[5].access, Access::kWrite);
}

}  // namespace
}  // namespace sluice::vulkan
