#define PYANE_TILE_TABLE tile_table_generic
#include "pyane/emulator/kernels/tile_functions.inc"
