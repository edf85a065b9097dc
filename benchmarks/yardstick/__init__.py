"""Our own step written anew, as a yardstick: in C and in JAX, each shown equal to the simulator by a test."""
