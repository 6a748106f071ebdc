"""What API and worker share."""
