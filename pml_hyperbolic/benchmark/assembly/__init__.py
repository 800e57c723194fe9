"""Assembly: from a protocol and a method to the parts of one run."""
