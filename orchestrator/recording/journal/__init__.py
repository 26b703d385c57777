"""What a driver learns is on its disk first, and is carried to the store from there."""
