"""The controllers: one module each, and in `run` what starts them all."""
