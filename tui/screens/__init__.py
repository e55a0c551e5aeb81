"""The screens. Each says in its bindings what can be done on it; help and footer read them from there."""
