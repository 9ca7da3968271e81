"""The fleet: sites and assets, who speaks for them, and the latest of all."""
