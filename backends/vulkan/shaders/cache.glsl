// Formats of a KV cache. A block of q8_0 is the scale in f16 and 32 signed bytes: 17 words of 16
// bits.
#include "format_numbers.glsl"
#include "half.glsl"

// Four signed bytes in two words.
vec4 SignedBytes(uint low, uint high) {
  const ivec4 bytes = ivec4(low << 24, low << 16, high << 24, high << 16);
  return vec4(bytes >> 24);
}

// Declares a cache and name(i): its four elements from 4 * i on. Rows are whole quads.
#define CACHE(at, name, format)                                                              \
  layout(std430, binding = at) readonly buffer name##Floats { vec4 name##_floats[]; };       \
  layout(std430, binding = at) readonly buffer name##Halves { uvec2 name##_halves[]; };      \
  layout(std430, binding = at) readonly buffer name##Words { uint16_t name##_words[]; };     \
  vec4 name(uint i) {                                                                        \
    if (format == F32) return name##_floats[i];                                              \
    if (format == Q8_0) {                                                                    \
      const uint block = i / 8 * 17, quad = block + 1 + i % 8 * 2;                           \
      return FromF16(uint(name##_words[block])) *                                            \
             SignedBytes(uint(name##_words[quad]), uint(name##_words[quad + 1]));            \
    }                                                                                        \
    const uvec2 bits = name##_halves[i];                                                     \
    if (format == F16) return vec4(unpackHalf2x16(bits.x), unpackHalf2x16(bits.y));          \
    return uintBitsToFloat(uvec4(bits.x << 16, bits.x & 0xffff0000u, bits.y << 16,           \
                                 bits.y & 0xffff0000u));                                     \
  }
