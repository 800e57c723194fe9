"""What finished runs are measured by beyond their scores: geometry, hierarchy, untrained lines."""
