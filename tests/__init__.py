"""The tests: those of this folder use no network, no sleep and no process."""
