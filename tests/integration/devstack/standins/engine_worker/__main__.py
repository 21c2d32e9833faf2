"""A stand-in for engine_worker."""

import standin

standin.serve("engine_worker")
