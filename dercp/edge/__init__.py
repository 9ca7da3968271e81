"""The edge agent: the supervised process on a site PC that speaks for its assets."""
