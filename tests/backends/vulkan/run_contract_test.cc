#include "tests/support/run_contract.h"

#include "tests/backends/vulkan/vulkan_support.h"

namespace sluice {
namespace {

class VulkanRunContract : public VulkanTest {};

TEST_F(VulkanRunContract, Holds) { ExpectRunContract(backend()); }

}  // namespace
}  // namespace sluice
