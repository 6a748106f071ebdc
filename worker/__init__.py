"""The worker: claims, runs, settles; and the controller."""
