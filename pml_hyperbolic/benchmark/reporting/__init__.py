"""Reports: finished runs are read, compared and shown. Nothing here uses torch."""
