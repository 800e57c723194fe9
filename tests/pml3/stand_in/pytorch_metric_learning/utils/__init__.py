"""Of this package only ``indexing`` is public in PML 3 (page: versioning)."""
