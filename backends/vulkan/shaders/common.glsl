// What every shader has: the values of symbols in this step.
#extension GL_EXT_shader_16bit_storage : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

layout(std430, set = 0, binding = 0) readonly buffer Symbols {
  uint symbols[];
};

// A size: x times the value of symbol y, symbol 0 being 1.
uint Value(uvec2 size) { return size.x * symbols[size.y]; }
