"""The chain on the device: everything that needs a GPU, or prepares for one."""
