"""``atoll demo``: the main job between two processes on this machine."""
