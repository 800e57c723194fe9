"""From a protocol and a method to everything one run is made of."""
