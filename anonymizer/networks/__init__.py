"""Neural networks, one a file: plain modules, float NCHW in and out, any batch size, any device.

Nothing here reads files; :mod:`anonymizer.weights` fetches the parameters and builds the modules.
"""
