"""Feed damaged and hostile data to the readers of foreign data: each must refuse in words, and in time.

`make fuzz` runs every target for some minutes (`make fuzz FUZZ_SECONDS=300 FUZZ_TARGETS="graft run_db"`). The suite
runs a short round of each with a fixed seed.
"""
