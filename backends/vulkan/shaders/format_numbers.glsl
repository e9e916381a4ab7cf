// The number of each format by its name.
#define FORMAT(name, number) const uint name = number;
#include "formats.inc"
#undef FORMAT
