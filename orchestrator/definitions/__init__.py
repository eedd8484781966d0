"""What things are: frozen dataclasses and the decorators that make them. No I/O, standard library only.

Comes in: what a user wrote. Goes out: definitions. Always holds: nothing is registered anywhere, importing a module
with definitions has no effect. May import: `orchestrator.errors`.
"""
