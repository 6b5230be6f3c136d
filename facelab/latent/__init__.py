"""Latent maths: numpy in, numpy out; knows neither torch nor Qt."""
