"""The call to the headend, and what is said on it."""
