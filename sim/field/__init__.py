"""Virtual devices that speak field protocols over real sockets."""
