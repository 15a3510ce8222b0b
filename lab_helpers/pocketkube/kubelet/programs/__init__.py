"""The servers inside the images of the catalogue, as small Python programs.

Each module is one program: `main(argv)` runs until a signal ends it and returns the exit code. They run in a
process forked warm, so they import the standard library alone.
"""
