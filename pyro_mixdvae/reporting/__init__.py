"""What results of all tasks are reported with: tables, pictures, and intervals of the bootstrap."""
