// SPV_KHR_cooperative_matrix for a glslang that does not know it yet: types and instructions by
// number. A type made so can be given nothing but numbers; finish_spirv.cc puts in what they stand
// for: bits for a type of floats, the number of a specialisation constant for its value.
#define COOPERATIVE_MATRIX extensions = ["SPV_KHR_cooperative_matrix"], capabilities = [6022]

const uint HALF = 16, SINGLE = 32;
const uint USE_A = 0, USE_B = 1, USE_SUM = 2;
#define MATRIX(bits, rows, columns, use) \
  spirv_type(COOPERATIVE_MATRIX, id = 4456, bits, gl_ScopeSubgroup, rows, columns, use)
#define MatrixA MATRIX(HALF, M_CONSTANT, K_CONSTANT, USE_A)
#define MatrixB MATRIX(HALF, K_CONSTANT, N_CONSTANT, USE_B)
#define MatrixSum MATRIX(SINGLE, M_CONSTANT, N_CONSTANT, USE_SUM)

// Matrices in shared memory begin at `at`; their rows or columns are `stride` elements of its array
// apart. All accesses to shared memory say, in the terms of Vulkan's memory model, what others of
// the workgroup see: reads are NonPrivatePointer and MakePointerVisible, writes NonPrivatePointer
// and MakePointerAvailable.
const uint BY_ROWS = 0, BY_COLUMNS = 1;
#define READS 0x30
#define WRITES 0x28
spirv_instruction(COOPERATIVE_MATRIX, id = 4457)
MatrixA LoadA(spirv_by_reference f16vec4 at, uint order, uint stride, spirv_literal uint access,
              int scope);
spirv_instruction(COOPERATIVE_MATRIX, id = 4457)
MatrixB LoadB(spirv_by_reference f16vec4 at, uint order, uint stride, spirv_literal uint access,
              int scope);
spirv_instruction(COOPERATIVE_MATRIX, id = 4458)
void StoreSum(spirv_by_reference float at, MatrixSum sum, uint order, uint stride,
              spirv_literal uint access, int scope);

// a * b + sum
spirv_instruction(COOPERATIVE_MATRIX, id = 4459)
MatrixSum MultiplyAdd(MatrixA a, MatrixB b, MatrixSum sum);
// OpCompositeConstruct
spirv_instruction(COOPERATIVE_MATRIX, id = 80) MatrixSum Filled(float value);
