"""What tests share: waiting with a bound, leak checks, real kernels, a browser."""
