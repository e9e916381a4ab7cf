#include "tests/support/run_contract.h"

#include <gtest/gtest.h>

#include "backends/cpu/cpu_backend.h"
#include "backends/placed/placed_backend.h"
#include "backends/ref/ref_backend.h"
#include "tests/support/other_device.h"

namespace sluice {
namespace {

TEST(RunContract, OfTheReference) { ExpectRunContract(*MakeRefBackend()); }

TEST(RunContract, OfTheCpu) { ExpectRunContract(*MakeCpuBackend({.threads = 1})); }

TEST(RunContract, OfTwoDevices) {
  Placement placement{.fallback = true};
  placement.devices.push_back(MakeOtherDevice(MakeCpuBackend({.threads = 1}), "scale"));
  placement.devices.push_back(MakeCpuBackend({.threads = 1}));
  const auto both = MakePlacedBackend(std::move(placement));
  ASSERT_TRUE(both.ok()) << both.status();
  ExpectRunContract(**both);
}

}  // namespace
}  // namespace sluice
