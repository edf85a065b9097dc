"""A step as one pass over the grids in C++, made from the step's own trace.

function of tensors → `kernel` traces it → `lowering` writes it out as arithmetic of one grid (`program`) → `cpp` prints
that for as many grids as a vector register holds → `build` compiles and keeps it. The tensor operations stay the only
source: what they say is what runs, with intermediates in registers instead of memory.
"""
