"""What is let go of once it has been kept long enough: deliveries, bodies, the feed's beginning.

Each kind is chosen by an index, a piece at a time; written to the archive, if there is one; and
deleted in a short transaction of its own, which looks once more whether it still may.
"""
