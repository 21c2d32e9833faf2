"""A stand-in for engine_api."""

import standin

standin.serve("engine_api")
