"""What an agent keeps for the headend until it is acknowledged."""
