"""Files of detections, labels and tracks."""
