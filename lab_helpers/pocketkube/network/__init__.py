"""The network of the embedded cluster: one protocol, `engine.Engine`, and the engines that implement it."""
