"""What a run records as it trains: by record-keeper, whatever the disk does."""
