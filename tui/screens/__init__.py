"""The screens. Each declares its keys as bindings, which help and footer read."""
