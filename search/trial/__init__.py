"""One trial as Ray runs it: all that a worker imports."""
