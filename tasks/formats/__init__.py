"""The formats that a model is published in, and what loads each of them."""
