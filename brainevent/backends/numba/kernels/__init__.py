"""The machine code: functions for numba to compile, which know arrays and nothing of formats."""
