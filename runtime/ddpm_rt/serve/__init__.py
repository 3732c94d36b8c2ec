"""`ddpm-rt serve`: continuous batching, and the HTTP server over it. The extra `serve` brings what it imports."""
