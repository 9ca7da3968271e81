"""Virtual devices with honest physics, in a real week of weather.

What each device models and what it leaves out is told in docs/simulator.md.
"""
