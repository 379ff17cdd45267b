"""Side-by-side measurements: one file a ratio, each a function ``arms`` of two things to time."""
