"""History: logged, moved on, aged out, and read."""
