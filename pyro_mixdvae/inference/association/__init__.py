"""Which detections belong to one another over time: bystanders, and sources that the filter has lost."""
