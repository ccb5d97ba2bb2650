"""From a numba function to a native XLA FFI handler: the calling convention, the compiler, the cache on disk."""
