"""Task folders of other systems, read as they are, one module a format, and written out as tasks of ours."""
