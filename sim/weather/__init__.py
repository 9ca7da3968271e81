"""A real week of weather, and what it is at any hour."""

from sim.weather.week import HOURS_PER_WEEK, HourlyMean, WeatherWeek, load_week

__all__ = ["HOURS_PER_WEEK", "HourlyMean", "WeatherWeek", "load_week"]
