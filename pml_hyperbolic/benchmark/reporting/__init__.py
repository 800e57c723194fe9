"""Reports: finished runs read, compared and shown. Knows nothing of torch."""
