"""What a notebook reads of its environment, assigns and publishes: found by reading its code, without running it."""
