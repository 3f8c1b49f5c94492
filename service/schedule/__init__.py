"""When something is due: the next push, the next read. Pure: instants in, instants out."""
