#define PYANE_TILE_TABLE tile_table_avx2
#include "pyane/emulator/kernels/tile_functions.inc"
