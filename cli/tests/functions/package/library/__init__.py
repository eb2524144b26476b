"""A package whose handler lies in a module of its own; see `programs.rs`."""
