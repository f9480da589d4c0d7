"""The main job from end to end, on the embedded stack, told as a story."""
